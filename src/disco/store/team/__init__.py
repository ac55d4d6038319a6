"""A team's store: a git repository whose every commit is signed, and verified before it is used.

`keys` are people's; `team` says who is in it and who may read what; `sealed` is one secret's file;
`git` runs git; `history` decides which commits are to be believed; `repository` reads and writes;
`sync` meets the others; `remote_lock` is the stack's lock where all of them see it.
"""
