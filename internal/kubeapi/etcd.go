package kubeapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"
)

const (
	// etcdQuota bounds the database file; when it is reached writes fail with "database space exceeded" and reads go on.
	etcdQuota = 2 << 30
	// etcdDefrag is how much free space at start makes it worth rewriting the database file.
	etcdDefragMegabytes = 64
	// etcdSnapshot is how many writes etcd keeps in memory and in its log before it folds them into a snapshot.
	etcdSnapshot = 2000
	// slowStore is how long a request may take before the store warns about it.
	slowStore = time.Second
	// etcdReadyTimeout is long enough to replay a full log on a slow disk.
	etcdReadyTimeout = 60 * time.Second
	// memoryPipe is the buffer of each in-memory connection, in bytes.
	memoryPipe = 16 << 10
)

// etcdServer is an etcd of one member that listens nowhere: no port, no socket. Its clients dial it through memory, so no other
// process or user of the machine can reach it.
type etcdServer struct {
	etcd *embed.Etcd
	log  *zapCore
	rpc  *grpc.Server
	ln   *bufconn.Listener
	done chan error // the RPC server's end
}

// startEtcd returns when the store accepts writes. Every acknowledged write is on disk (fsync).
func startEtcd(ctx context.Context, dir string, log *slog.Logger) (*etcdServer, error) {
	core := newZapCore(log)
	started, err := embedEtcd(dir, core)
	if err != nil {
		return nil, err
	}
	s := &etcdServer{etcd: started, log: core, ln: bufconn.Listen(memoryPipe), done: make(chan error, 1)}
	ctx, cancel := context.WithTimeout(ctx, etcdReadyTimeout)
	defer cancel()
	select {
	case <-started.Server.ReadyNotify():
	case <-started.Server.StopNotify():
		started.Close()
		return nil, fmt.Errorf("the store in %s stopped while starting", dir)
	case <-ctx.Done():
		started.Close()
		return nil, fmt.Errorf("waiting for the store in %s: %w", dir, ctx.Err())
	}
	if err := makeRoom(ctx, started); err != nil {
		started.Close()
		return nil, err
	}
	// The API server's client pings every 30 s; without a policy that allows it gRPC would close its connections for that.
	pings := grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true})
	s.rpc = v3rpc.Server(started.Server, nil, nil, pings, grpc.ReadBufferSize(4<<10), grpc.WriteBufferSize(4<<10))
	go func() { s.done <- s.rpc.Serve(s.ln) }()
	return s, nil
}

// embedEtcd starts the server proper. etcd reports damage by panicking; that becomes an error here.
func embedEtcd(dir string, core *zapCore) (started *embed.Etcd, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = &DamagedError{Dir: dir, Reason: core.lastFatal(reason)}
		}
	}()
	if err := checkDatabase(dir); err != nil {
		return nil, err
	}
	cfg := etcdConfig(dir)
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(core, zap.WithFatalHook(panicHook{})))
	started, err = embed.StartEtcd(cfg)
	if err != nil {
		return nil, fmt.Errorf("starting the store in %s: %w", dir, err)
	}
	return started, nil
}

// DamagedError says that the store cannot be opened as it is.
type DamagedError struct {
	Dir    string
	Reason string
}

// Error names the directory, the reason and the way out.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the store in %s is damaged or was written by a newer version: %s; restore it from a backup or choose another data directory",
		e.Dir, e.Reason)
}

// checkDatabase opens the database file before etcd does, which would panic where nobody can recover.
func checkDatabase(dir string) error {
	path := filepath.Join(dir, "member", "snap", "db")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: slowStore})
	if err != nil {
		return &DamagedError{Dir: dir, Reason: fmt.Sprintf("opening %s: %v", path, err)}
	}
	if err := db.Close(); err != nil {
		return fmt.Errorf("closing %s: %w", path, err)
	}
	return nil
}

func etcdConfig(dir string) *embed.Config {
	// The peer address is an identity that etcd insists on; nothing listens on it.
	nowhere := url.URL{Scheme: "http", Host: "127.0.0.1:2380"}
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.ListenPeerUrls, cfg.ListenClientUrls = nil, nil
	cfg.AdvertisePeerUrls, cfg.AdvertiseClientUrls = []url.URL{nowhere}, []url.URL{nowhere}
	// A single member elects itself after 1 to 5 ticks. Shorter ones start sooner, and wake an idle machine more often.
	cfg.TickMs, cfg.ElectionMs = 50, 250
	cfg.AuthToken = "" // no users, so no tokens to make up
	cfg.QuotaBackendBytes = etcdQuota
	cfg.BootstrapDefragThresholdMegabytes = etcdDefragMegabytes
	cfg.SnapshotCount, cfg.SnapshotCatchUpEntries = etcdSnapshot, 100
	cfg.MaxWalFiles, cfg.MaxSnapFiles = 2, 2
	cfg.WarningApplyDuration, cfg.WarningUnaryRequestDuration = slowStore, slowStore
	cfg.Name = "ofn"
	cfg.InitialCluster = cfg.Name + "=" + nowhere.String()
	return cfg
}

// makeRoom ends the state in which a full store refuses writes, once compaction and the defragmentation at start have freed enough.
func makeRoom(ctx context.Context, started *embed.Etcd) error {
	if started.Server.Backend().SizeInUse() > etcdQuota/10*9 {
		return nil
	}
	for _, alarm := range started.Server.Alarms() {
		if alarm.Alarm != etcdserverpb.AlarmType_NOSPACE {
			continue
		}
		_, err := started.Server.Alarm(ctx, &etcdserverpb.AlarmRequest{
			Action: etcdserverpb.AlarmRequest_DEACTIVATE, Alarm: alarm.Alarm, MemberID: alarm.MemberID,
		})
		if err != nil {
			return fmt.Errorf("opening the store for writes again: %w", err)
		}
	}
	return nil
}

// dial connects a client of this process.
func (s *etcdServer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return s.ln.DialContext(ctx)
}

// close ends all connections and closes the database.
func (s *etcdServer) close() error {
	s.rpc.Stop()
	err := <-s.done
	s.etcd.Close()
	if err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("stopping the store: %w", err)
	}
	return nil
}
