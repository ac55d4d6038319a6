"""The dashboard of DISCO itself: its last plan, run and checks, and how old backups are."""

from __future__ import annotations

from disco.dashboards.board import Board, Panel, Query, Row, Threshold, better_above, better_below

DAY_S = 24 * 3600
# Of several servers that have such files, the one that was written to last.
NEWEST_CHECK = (
    "on (instance) (disco_check_timestamp_seconds == scalar(max(disco_check_timestamp_seconds)))"
)
NEWEST_PLAN = (
    "on (instance) (disco_plan_timestamp_seconds == scalar(max(disco_plan_timestamp_seconds)))"
)
NEWEST_RUN = (
    "on (instance) (disco_run_timestamp_seconds == scalar(max(disco_run_timestamp_seconds)))"
)

DISCO = Board(
    "disco",
    "DISCO",
    "What DISCO found and did when it was run last, by whomever.",
    (
        Row(
            "At a glance",
            (
                Panel(
                    "Red checks",
                    "Of the last time that all were asked. `disco check` has the evidence of each.",
                    (Query(f"count(disco_check_ok == 0 and {NEWEST_CHECK}) or vector(0)"),),
                    "",
                    "figure",
                    better_below(1, 1),
                    ("DiscoCheckFailed",),
                    columns=6,
                ),
                Panel(
                    "Not as declared",
                    "Steps that the last plan of the whole stack would take.",
                    (Query(f"sum(disco_plan_steps and {NEWEST_PLAN})"),),
                    "",
                    "figure",
                    (Threshold(1, "orange"),),
                    ("DiscoDrift",),
                    columns=6,
                ),
                Panel(
                    "Last run went through",
                    "Off: it failed or was stopped, and nobody has gone on with it.",
                    (Query(f'max(disco_run_outcome{{outcome="done"}} and {NEWEST_RUN})'),),
                    "bool_on_off",
                    "figure",
                    better_above(1),
                    ("DiscoRunUnfinished",),
                    columns=6,
                ),
                Panel(
                    "Time of the last run",
                    "What its steps took; 0 where there was nothing to do.",
                    (Query(f"max(disco_run_duration_seconds and {NEWEST_RUN})"),),
                    "s",
                    "figure",
                    columns=6,
                    decimals=1,
                ),
            ),
        ),
        Row(
            "How long ago",
            (
                Panel(
                    "Looked at",
                    "The last plan, run and checks.",
                    (
                        Query("time() - max(disco_plan_timestamp_seconds)", "plan"),
                        Query("time() - max(disco_run_timestamp_seconds)", "run"),
                        Query("time() - max(disco_check_timestamp_seconds)", "checks"),
                    ),
                    "dtdurations",
                    "figure",
                    better_below(2 * DAY_S, 7 * DAY_S),
                    ("DiscoNotChecked",),
                    columns=12,
                    decimals=0,
                ),
                Panel(
                    "Backed up",
                    "The vault by `disco vault snapshot`, a team's store by its remote. More than "
                    "fifty years is never.",
                    (
                        Query(
                            "time() - (max by (what) (disco_backup_timestamp_seconds) or "
                            "max by (what) (disco_backup_wanted) * 0)",
                            "{{what}}",
                        ),
                    ),
                    "dtdurations",
                    "figure",
                    better_below(2 * DAY_S, 7 * DAY_S),
                    ("DiscoBackupOld", "DiscoBackupMissing"),
                    columns=12,
                    decimals=0,
                ),
            ),
        ),
        Row(
            "Checks and steps",
            (
                Panel(
                    "Checks by component",
                    "Those that were red.",
                    (
                        Query(
                            "count by (component) (label_replace(disco_check_ok == 0, "
                            '"component", "$1", "check", "(.*)/[^/]*")) or '
                            "count by (component) (label_replace(disco_check_ok, "
                            '"component", "$1", "check", "(.*)/[^/]*")) * 0',
                            "{{component}}",
                        ),
                    ),
                    alerts=("DiscoCheckFailed",),
                ),
                Panel(
                    "Not as declared, by component",
                    "Steps that the last plan of the whole stack would take.",
                    (Query("max by (component) (disco_plan_steps)", "{{component}}"),),
                    alerts=("DiscoDrift",),
                ),
                Panel(
                    "Time that it took",
                    "To look at the whole stack, and to carry out what was missing.",
                    (
                        Query("max(disco_plan_duration_seconds)", "plan"),
                        Query("max(disco_run_duration_seconds)", "run"),
                        Query("max(disco_check_duration_seconds)", "slowest check"),
                    ),
                    "s",
                ),
            ),
        ),
    ),
)
