package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// copies puts Functions from the number made on, up to n, into the store of a cluster that is not running: each with all that belongs to
// it, as the first Function and the operator left it.
func copies(ctx context.Context, dir string, made, n int) error {
	etcd, err := store(filepath.Join(dir, "etcd"))
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	defer etcd.Close()
	select {
	case <-etcd.Server.ReadyNotify():
	case <-ctx.Done():
		return ctx.Err()
	}
	c := v3client.New(etcd.Server)
	defer func() { _ = c.Close() }() // which says that its context has ended
	objects, uids, err := belonging(ctx, c, name(0))
	if err != nil {
		return err
	}
	for i := made; i < n; i++ {
		replaced := []string{name(0), name(i)}
		for _, uid := range uids {
			replaced = append(replaced, uid, fmt.Sprintf("%s%012d", uid[:len(uid)-12], i))
		}
		renamed := strings.NewReplacer(replaced...)
		var puts []clientv3.Op
		for key, value := range objects {
			puts = append(puts, clientv3.OpPut(renamed.Replace(key), renamed.Replace(value)))
		}
		if _, err := c.Txn(ctx).Then(puts...).Commit(); err != nil {
			return fmt.Errorf("copying function %d: %w", i, err)
		}
	}
	return nil
}

// store opens the store as internal/kubeapi does.
func store(dir string) (*embed.Etcd, error) {
	nowhere := url.URL{Scheme: "http", Host: "127.0.0.1:2380"}
	cfg := embed.NewConfig()
	cfg.Dir, cfg.Name = dir, "ofn"
	cfg.ListenPeerUrls, cfg.ListenClientUrls = nil, nil
	cfg.AdvertisePeerUrls, cfg.AdvertiseClientUrls = []url.URL{nowhere}, []url.URL{nowhere}
	cfg.InitialCluster = cfg.Name + "=" + nowhere.String()
	cfg.QuotaBackendBytes = 4 << 30
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	return embed.StartEtcd(cfg)
}

// belonging are the objects of a Function by key, itself and what it owns, without events, and their uids.
func belonging(ctx context.Context, c *clientv3.Client, function string) (objects map[string]string, uids []string, err error) {
	all, err := c.Get(ctx, "/", clientv3.WithPrefix())
	if err != nil {
		return nil, nil, fmt.Errorf("reading the store: %w", err)
	}
	objects = map[string]string{}
	for _, kv := range all.Kvs {
		key := string(kv.Key)
		if !strings.Contains(key, "/default/"+function) || strings.Contains(key, "/events/") || !bytes.HasPrefix(kv.Value, []byte("{")) {
			continue
		}
		var o metav1.PartialObjectMetadata
		if err := json.Unmarshal(kv.Value, &o); err != nil {
			return nil, nil, fmt.Errorf("reading %s: %w", key, err)
		}
		objects[key], uids = string(kv.Value), append(uids, string(o.UID))
	}
	if len(objects) < 4 {
		return nil, nil, fmt.Errorf("the store has only %d objects of %s", len(objects), function)
	}
	return objects, uids, nil
}

// name is that of a Function.
func name(i int) string { return fmt.Sprintf("fn-%05d", i) }
