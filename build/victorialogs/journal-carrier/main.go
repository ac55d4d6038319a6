// Command journal-carrier sends a host's journal to a VictoriaLogs server, from the first entry that
// the host still has, and goes on where it ended.
//
// journalctl reads, in the journal's export format; entries go out in batches, and where the last one
// that the server took stands is kept in a file. So an entry is sent at least once: again when this
// program dies between the two. A server that is away is waited for, since the journal keeps what it
// is not asked for. An entry that the server can't read (400, 413) is left out, counted and named, so
// that it holds up none behind it. Upstream has systemd-journal-upload for this, but it ends with each error, and
// can't say the node's name.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	batchBytes   = 1 << 20
	maxFieldSize = 16 << 20
	gather       = 200 * time.Millisecond // for entries that come together
	pause        = 2 * time.Second        // after something failed
	alive        = 10 * time.Second       // between two lines of its own, by which the way of pods' logs is proven
	fields       = "MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,SYSLOG_PID,UNIT,_BOOT_ID,_COMM,_HOSTNAME,_PID,_SYSTEMD_UNIT,_TRANSPORT"
	cursorField  = "__CURSOR="
)

var (
	state  = flag.String("state", "", "file that keeps where the last entry that was sent stands")
	target = flag.String("url", "", "address of the server, e.g. http://logs:9428")
	node   = flag.String("node", "", "name of this node, the field `node` of each entry")
	listen = flag.String("listen", "", "address for /metrics and /health")

	sent, failures, dropped, lastSent atomic.Int64
)

// errUnreadable: the same answer would come again and again.
var errUnreadable = errors.New("not taken")

type entry struct {
	text   []byte
	cursor string
}

func main() {
	flag.Parse()
	log.SetFlags(0)
	if *state == "" || *target == "" || *node == "" {
		log.Fatal("-state, -url and -node must be given")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if *listen != "" {
		go func() { log.Fatal(serve(*listen)) }()
	}
	go tell(ctx)
	for ctx.Err() == nil {
		if err := carry(ctx); err != nil && ctx.Err() == nil {
			log.Print(err)
		}
		rest(ctx)
	}
}

// carry sends what journalctl reads until that ends.
func carry(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	cursor, err := os.ReadFile(*state)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	argv := []string{"--quiet", "--merge", "--follow", "--no-tail", "--output=export", "--output-fields=" + fields}
	if len(cursor) > 0 {
		argv = append(argv, "--after-cursor="+strings.TrimSpace(string(cursor)))
	}
	child := exec.CommandContext(ctx, "journalctl", argv...)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	entries := make(chan entry)
	broken := make(chan error, 1)
	go func() {
		defer close(entries)
		broken <- parse(out, func(e entry) bool {
			select {
			case entries <- e:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()
	for ctx.Err() == nil && deliver(ctx, entries) {
	}
	stop()
	for range entries {
	}
	ended := child.Wait()
	return errors.Join(<-broken, ended)
}

// deliver sends one batch, however often it takes. False when there is nothing any more.
func deliver(ctx context.Context, entries <-chan entry) bool {
	first, more := <-entries
	if !more {
		return false
	}
	batch, size := []entry{first}, len(first.text)
	full := time.After(gather)
	for open := true; open && size < batchBytes; {
		select {
		case e, ok := <-entries:
			if open, more = ok, ok; ok {
				batch, size = append(batch, e), size+len(e.text)
			}
		case <-full:
			open = false
		}
	}
	for ctx.Err() == nil {
		err := send(ctx, batch)
		if err == nil {
			return more
		}
		failures.Add(1)
		log.Print(err)
		rest(ctx)
	}
	return false
}

// send sends entries at once; if the server can't read them, one by one, without those it can't.
func send(ctx context.Context, batch []entry) error {
	var text []byte
	for _, e := range batch {
		text = append(text, e.text...)
	}
	err := post(ctx, text)
	switch last := batch[len(batch)-1]; {
	case err == nil:
		if err := keep(last.cursor); err != nil {
			return err
		}
		sent.Add(int64(len(batch)))
		lastSent.Store(time.Now().Unix())
		return nil
	case !errors.Is(err, errUnreadable):
		return err
	case len(batch) == 1:
		dropped.Add(1)
		log.Printf("left out, journalctl --cursor=%q shows it: %v", last.cursor, err)
		return keep(last.cursor)
	}
	for i := range batch {
		if err := send(ctx, batch[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func post(ctx context.Context, batch []byte) error {
	query := url.Values{
		"extra_fields":   {"node=" + *node},
		"_stream_fields": {"node,_SYSTEMD_UNIT"},
	}
	ctx, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	address := *target + "/insert/journald/upload?" + query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(batch))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/vnd.fdo.journal")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		said, _ := io.ReadAll(io.LimitReader(answer.Body, 300))
		err := fmt.Errorf("the server answers %s: %s", answer.Status, bytes.TrimSpace(said))
		if answer.StatusCode == http.StatusBadRequest || answer.StatusCode == http.StatusRequestEntityTooLarge {
			return errors.Join(errUnreadable, err)
		}
		return err
	}
	return nil
}

// keep writes the cursor so that a crash leaves either the old or the new one.
func keep(cursor string) error {
	file, err := os.CreateTemp(filepath.Dir(*state), ".cursor")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(cursor + "\n")
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), *state)
}

// parse reads the export format: fields are `NAME=VALUE` lines or, with any bytes in them, a line
// with the name, eight bytes of length and the value; an empty line ends an entry.
func parse(from io.Reader, give func(entry) bool) error {
	reader := bufio.NewReaderSize(from, 1<<16)
	var now entry
	for {
		line, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // an entry that was cut off is read again
		}
		if err != nil {
			return err
		}
		now.text = append(now.text, line...)
		switch name, isText := strings.CutPrefix(string(line), cursorField); {
		case len(line) == 1:
			if now.cursor != "" && !give(now) {
				return nil
			}
			now = entry{}
		case isText:
			now.cursor = strings.TrimSuffix(name, "\n")
		case !bytes.ContainsRune(line, '='):
			if now.text, err = binaryValue(reader, now.text); err != nil {
				return err
			}
		}
	}
}

func binaryValue(reader io.Reader, text []byte) ([]byte, error) {
	var length [8]byte
	if _, err := io.ReadFull(reader, length[:]); err != nil {
		return text, err
	}
	size := binary.LittleEndian.Uint64(length[:])
	if size > maxFieldSize {
		return text, fmt.Errorf("a field of %d bytes", size)
	}
	value := make([]byte, size+1) // with the line's end
	_, err := io.ReadFull(reader, value)
	return append(append(text, length[:]...), value...), err
}

func serve(address string) error {
	http.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "OK") })
	http.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# TYPE journal_entries_sent_total counter\njournal_entries_sent_total %d\n", sent.Load())
		fmt.Fprintf(w, "# TYPE journal_failures_total counter\njournal_failures_total %d\n", failures.Load())
		fmt.Fprintf(w, "# TYPE journal_entries_dropped_total counter\njournal_entries_dropped_total %d\n", dropped.Load())
		fmt.Fprintf(w, "# TYPE journal_last_sent_seconds gauge\njournal_last_sent_seconds %d\n", lastSent.Load())
	})
	return http.ListenAndServe(address, nil)
}

// tell prints now and then what was done: so every node has a pod whose log goes on.
func tell(ctx context.Context) {
	for ticks := time.Tick(alive); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
			fmt.Printf("alive: %d entries sent, %d left out, %d failures\n", sent.Load(), dropped.Load(), failures.Load())
		}
	}
}

func rest(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
}
