package servers_test

import (
	"context"
	"net"
	"net/smtp"
	"os"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

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
			t.Parallel()
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

func TestSMTP(t *testing.T) {
	s := servers.SMTP(t, servers.Password("pw"))
	auth := smtp.PlainAuth("", s.User, s.Password, "127.0.0.1")
	if err := smtp.SendMail(s.Addr, nil, "a@x", []string{"b@x"}, []byte("no\r\n")); err == nil {
		t.Fatal("it takes mail of anybody")
	}
	came := s.Came()
	if err := smtp.SendMail(s.Addr, auth, "a@x", []string{"b@x"}, []byte("hello\r\n")); err != nil {
		t.Fatal(err)
	}
	<-came
	if m := s.Mails(); len(m) != 1 || m[0].From != "a@x" || !strings.Contains(string(m[0].Data), "hello") {
		t.Fatalf("mails: %+v", m)
	}
}

func TestS3(t *testing.T) {
	s := servers.S3(t)
	c, err := minio.New(s.Addr, &minio.Options{Creds: credentials.NewStaticV4(s.Key, s.Secret, "")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := c.MakeBucket(ctx, "bucket", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	told := c.ListenBucketNotification(ctx, "bucket", "", "", []string{"s3:ObjectCreated:*"})
	<-s.Listening()
	if _, err := c.PutObject(ctx, "bucket", "k/1.txt", strings.NewReader("hello"), 5, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if n := <-told; n.Err != nil || len(n.Records) != 1 || n.Records[0].S3.Object.Key != "k%2F1.txt" {
		t.Fatalf("told: %+v", n)
	}
}
