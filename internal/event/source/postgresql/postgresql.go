// Package postgresql makes events of the changes of tables, by logical replication, or of the notifications of a channel. A
// replication slot keeps the changes until their events are safe; notifications are not kept by anybody.
package postgresql

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/openfunction/ofn/internal/event/source"
)

// spec is api/events/v1alpha1.PostgreSQLSpec.
type spec struct {
	URL         string   `json:"url"`
	Password    string   `json:"password"`
	Tables      []string `json:"tables"`
	Operations  []string `json:"operations"`
	Slot        string   `json:"slot"`
	Publication string   `json:"publication"`
	Channel     string   `json:"channel"`
}

const (
	window = 64
	batch  = 1000                   // changes that are asked for at once, rounded up to whole transactions
	pause  = 500 * time.Millisecond // between questions when there was nothing
)

var slotName = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)

// New makes a source.
func New(c source.Config) (source.Source, error) {
	s := spec{Operations: []string{"insert", "update", "delete"}}
	if err := c.Decode(&s); err != nil {
		return nil, err
	}
	if s.URL == "" {
		return nil, source.Required("url")
	}
	config, err := pgx.ParseConfig(s.URL)
	if err != nil {
		return nil, source.Invalid{Field: "url", Problem: "it must be like postgres://user@host:5432/db"}
	}
	if s.Password != "" {
		config.Password = s.Password
	}
	config.ConnectTimeout = 10 * time.Second
	config.RuntimeParams["application_name"] = "ofn"
	if s.Channel != "" && len(s.Tables) > 0 {
		return nil, source.Invalid{Field: "channel", Problem: "it cannot be set together with tables"}
	}
	for _, o := range s.Operations {
		if !slices.Contains([]string{"insert", "update", "delete"}, o) {
			return nil, source.Invalid{Field: "operations", Problem: "none of insert, update and delete: " + o}
		}
	}
	own := "ofn_" + source.Hash(c.Namespace, c.Name, c.Event)
	if s.Slot == "" {
		s.Slot = own
	}
	if !slotName.MatchString(s.Slot) {
		return nil, source.Invalid{Field: "slot", Problem: "it may have a-z, 0-9 and _, at most 63 of them"}
	}
	if s.Publication == "" {
		s.Publication = own
	}
	return &feed{id: c.Identity, spec: s, config: config, own: own}, nil
}

type feed struct {
	id     source.Identity
	spec   spec
	config *pgx.ConnConfig
	own    string // name of what this source made itself
}

func (f *feed) Run(ctx context.Context, out source.Out) error {
	conn, err := f.connect(ctx)
	if err != nil {
		return source.Ended(ctx, err)
	}
	defer hangUp(conn)
	if f.spec.Channel != "" {
		return source.Ended(ctx, f.listen(ctx, conn, out))
	}
	if err := f.prepare(ctx, conn); err != nil {
		return source.Ended(ctx, denied(err))
	}
	out.Connected()
	return source.Ended(ctx, denied(f.replicate(ctx, conn, out)))
}

func (f *feed) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, f.config)
	if err != nil {
		return nil, denied(fmt.Errorf("connecting to PostgreSQL at %s: %w", f.config.Host, err))
	}
	return conn, nil
}

func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

func denied(err error) error {
	var p *pgconn.PgError
	if errors.As(err, &p) && (strings.HasPrefix(p.Code, "28") || p.Code == "42501") {
		return fmt.Errorf("%w: %w", source.ErrDenied, err)
	}
	return err
}

func (f *feed) listen(ctx context.Context, conn *pgx.Conn, out source.Out) error {
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{f.spec.Channel}.Sanitize()); err != nil {
		return denied(fmt.Errorf("listening to channel %s: %w", f.spec.Channel, err))
	}
	out.Connected()
	w := source.NewWindow(ctx, window, out.Emit)
	defer func() { _ = w.Close() }()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("listening to channel %s: %w", f.spec.Channel, err)
		}
		if err := w.Add(f.id.Message(nil, "", "", []byte(n.Payload), time.Now()), func() {}); err != nil {
			return err
		}
	}
}

// prepare makes the publication and the slot, if they are not there.
func (f *feed) prepare(ctx context.Context, conn *pgx.Conn) error {
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)", f.spec.Publication).Scan(&there); err != nil {
		return fmt.Errorf("looking for publication %s: %w", f.spec.Publication, err)
	}
	if !there || f.spec.Publication == f.own { // its own follows the tables of the source
		if err := f.publish(ctx, conn, there); err != nil {
			return fmt.Errorf("making publication %s: %w", f.spec.Publication, err)
		}
	}
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)", f.spec.Slot).Scan(&there); err != nil {
		return fmt.Errorf("looking for slot %s: %w", f.spec.Slot, err)
	}
	if !there {
		if _, err := conn.Exec(ctx, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", f.spec.Slot); err != nil {
			return fmt.Errorf("making slot %s: %w; the server needs wal_level = logical", f.spec.Slot, err)
		}
	}
	return nil
}

func (f *feed) publish(ctx context.Context, conn *pgx.Conn, there bool) error {
	name := pgx.Identifier{f.spec.Publication}.Sanitize()
	if len(f.spec.Tables) == 0 {
		if there {
			return nil
		}
		_, err := conn.Exec(ctx, "CREATE PUBLICATION "+name+" FOR ALL TABLES")
		return err
	}
	tables := make([]string, len(f.spec.Tables))
	for i, t := range f.spec.Tables {
		tables[i] = pgx.Identifier(strings.Split(t, ".")).Sanitize()
	}
	list := strings.Join(tables, ", ")
	verb := "CREATE PUBLICATION " + name + " FOR TABLE " + list
	if there {
		verb = "ALTER PUBLICATION " + name + " SET TABLE " + list
	}
	_, err := conn.Exec(ctx, verb)
	return err
}

// replicate asks for changes without taking them, and lets the slot go on when their events are safe.
func (f *feed) replicate(ctx context.Context, conn *pgx.Conn, out source.Out) error {
	for ctx.Err() == nil {
		last, err := f.round(ctx, conn, out)
		if err != nil {
			return err
		}
		if last != "" {
			if _, err := conn.Exec(ctx, "SELECT pg_replication_slot_advance($1, $2::pg_lsn)", f.spec.Slot, last); err != nil {
				return fmt.Errorf("letting slot %s go on: %w", f.spec.Slot, err)
			}
			continue
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

// round emits one batch of changes and returns where the slot may go on: "" when there was nothing.
func (f *feed) round(ctx context.Context, conn *pgx.Conn, out source.Out) (last string, err error) {
	w := source.NewWindow(ctx, window, out.Emit)
	defer func() {
		if closed := w.Close(); err == nil {
			err = closed
		}
	}()
	rows, err := conn.Query(ctx, "SELECT data FROM pg_logical_slot_peek_binary_changes($1, NULL, $2, 'proto_version', '1', 'publication_names', $3)",
		f.spec.Slot, batch, pgx.Identifier{f.spec.Publication}.Sanitize())
	if err != nil {
		return "", fmt.Errorf("reading slot %s: %w", f.spec.Slot, err)
	}
	defer rows.Close()
	d := newDecoder()
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			return "", fmt.Errorf("reading slot %s: %w", f.spec.Slot, err)
		}
		c, err := d.decode(data)
		if err != nil {
			return "", fmt.Errorf("reading slot %s: %w", f.spec.Slot, err)
		}
		if d.ended != "" {
			last = d.ended
		}
		if c == nil || !slices.Contains(f.spec.Operations, c.Operation) {
			continue
		}
		e, err := f.event(c)
		if err != nil {
			return "", err
		}
		if err := w.Add(e, func() {}); err != nil {
			return "", err
		}
	}
	if err := rows.Err(); err != nil {
		return "", fmt.Errorf("reading slot %s: %w", f.spec.Slot, err)
	}
	return last, nil
}

// Forget drops what this source made at the server: a slot that nobody reads fills the server's disk.
func (f *feed) Forget(ctx context.Context) error {
	if f.spec.Channel != "" {
		return nil
	}
	conn, err := f.connect(ctx)
	if err != nil {
		return err
	}
	defer hangUp(conn)
	if f.spec.Slot == f.own {
		if _, err := conn.Exec(ctx, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1", f.own); err != nil {
			return fmt.Errorf("dropping slot %s: %w", f.own, err)
		}
	}
	if f.spec.Publication == f.own {
		if _, err := conn.Exec(ctx, "DROP PUBLICATION IF EXISTS "+pgx.Identifier{f.own}.Sanitize()); err != nil {
			return fmt.Errorf("dropping publication %s: %w", f.own, err)
		}
	}
	return nil
}
