package servers_test

import (
	"net"
	"os"
	"testing"

	"github.com/openfunction/ofn/test/servers"
)

var pool servers.Pool

func TestMain(m *testing.M) { os.Exit(pool.Run(m)) }

// TestServers starts, kills and restarts each: every test of the event half stands on this.
func TestServers(t *testing.T) {
	for name, start := range map[string]func(servers.T, ...servers.Option) *servers.Server{
		"Redis": servers.Redis, "NATS": servers.NATS, "Mosquitto": servers.Mosquitto, "RabbitMQ": servers.RabbitMQ,
		"Kafka": servers.Kafka, "PostgreSQL": servers.PostgreSQL, "MariaDB": servers.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			s := pool.Get(t, start)
			if pool.Get(t, start) != s {
				t.Fatal("the pool does not share")
			}
			open := func() error {
				c, err := net.Dial("tcp", s.Addr)
				if err == nil {
					_ = c.Close()
				}
				return err
			}
			if err := open(); err != nil {
				t.Fatal(err)
			}
			s.Kill()
			if err := open(); err == nil {
				t.Fatal("it lives after Kill")
			}
			s.Restart()
			if err := open(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
