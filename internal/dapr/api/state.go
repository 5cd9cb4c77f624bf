package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/dapr/components-contrib/state"
	apierrors "github.com/dapr/dapr/pkg/api/errors"
	"github.com/dapr/dapr/pkg/messages"
	"github.com/dapr/dapr/pkg/messages/errorcodes"
	"google.golang.org/grpc/codes"

	"github.com/openfunction/ofn/internal/dapr/runtime"
)

// store lends a state store.
func (c *caller) store(ctx context.Context, name string) (*runtime.Lease, error) {
	if !c.has("state.") {
		return nil, apierrors.StateStore(name).NotConfigured(c.id)
	}
	lease, err := c.o.Runtime.Acquire(ctx, c.app, name)
	var missing *runtime.NotFound
	if errors.As(err, &missing) || (err == nil && lease.State == nil) {
		release(lease)
		return nil, apierrors.StateStore(name).NotFound(c.id)
	}
	if err != nil {
		return nil, newFault(errorcodes.StateStoreNotConfigured, http.StatusInternalServerError, codes.FailedPrecondition, "state store %s is not ready: %v", name, err)
	}
	return lease, nil
}

// key is what the store knows the app's key by.
func (c *caller) key(l *runtime.Lease, key string) (string, error) {
	full, err := runtime.StateKey(l.Spec, c.id, key)
	if err != nil {
		return "", apierrors.StateStore(l.Spec.Name.Name).InvalidKeyName(key, err.Error())
	}
	return full, nil
}

func (c *caller) getState(ctx context.Context, name, key, consistency string, meta map[string]string) (*state.GetResponse, error) {
	l, err := c.store(ctx, name)
	if err != nil {
		return nil, err
	}
	defer l.Release()
	full, err := c.key(l, key)
	if err != nil {
		return nil, err
	}
	got, err := l.State.Get(ctx, &state.GetRequest{Key: full, Metadata: meta, Options: state.GetStateOption{Consistency: consistency}})
	if err != nil {
		return nil, stateFault(errorcodes.StateGet, err, messages.ErrStateGet, key, name, err.Error())
	}
	if got == nil {
		got = &state.GetResponse{}
	}
	return got, nil
}

// getStates reads several keys; the keys of the answers are the app's own.
func (c *caller) getStates(ctx context.Context, name string, keys []string, parallelism int, meta map[string]string) ([]state.BulkGetResponse, error) {
	l, err := c.store(ctx, name)
	if err != nil {
		return nil, err
	}
	defer l.Release()
	reqs := make([]state.GetRequest, len(keys))
	for i, k := range keys {
		full, err := c.key(l, k)
		if err != nil {
			return nil, err
		}
		reqs[i] = state.GetRequest{Key: full, Metadata: meta}
	}
	if len(reqs) == 0 {
		return nil, nil
	}
	got, err := l.State.BulkGet(ctx, reqs, state.BulkGetOpts{Parallelism: parallelism})
	if err != nil {
		return nil, stateFault(errorcodes.StateBulkGet, err, "%s", err.Error())
	}
	for i := range got {
		got[i].Key = runtime.OriginalKey(got[i].Key)
	}
	return got, nil
}

func (c *caller) saveStates(ctx context.Context, name string, reqs []state.SetRequest) error {
	l, err := c.store(ctx, name)
	if err != nil {
		return err
	}
	defer l.Release()
	for i := range reqs {
		if reqs[i].Key == "" {
			return newFault(errorcodes.CommonMalformedRequest, http.StatusBadRequest, codes.InvalidArgument, `"key" is a required field`)
		}
		if reqs[i].Key, err = c.key(l, reqs[i].Key); err != nil {
			return err
		}
	}
	switch len(reqs) {
	case 0:
		return nil
	case 1:
		err = l.State.Set(ctx, &reqs[0])
	default:
		err = l.State.BulkSet(ctx, reqs, state.BulkStoreOpts{})
	}
	if err != nil {
		return stateFault(errorcodes.StateSave, err, messages.ErrStateSave, name, err.Error())
	}
	return nil
}

func (c *caller) deleteState(ctx context.Context, name string, req state.DeleteRequest) error {
	return c.deleteStates(ctx, name, []state.DeleteRequest{req})
}

func (c *caller) deleteStates(ctx context.Context, name string, reqs []state.DeleteRequest) error {
	l, err := c.store(ctx, name)
	if err != nil {
		return err
	}
	defer l.Release()
	var keys []string
	for i := range reqs {
		keys = append(keys, reqs[i].Key)
		if reqs[i].Key, err = c.key(l, reqs[i].Key); err != nil {
			return err
		}
	}
	switch len(reqs) {
	case 0:
		return nil
	case 1:
		if err = l.State.Delete(ctx, &reqs[0]); err != nil {
			return stateFault(errorcodes.StateDelete, err, messages.ErrStateDelete, keys[0], err.Error())
		}
	default:
		if err = l.State.BulkDelete(ctx, reqs, state.BulkStoreOpts{}); err != nil {
			return stateFault(errorcodes.StateBulkDelete, err, messages.ErrStateDeleteBulk, name, err.Error())
		}
	}
	return nil
}

// transact does all operations or none.
func (c *caller) transact(ctx context.Context, name string, ops []state.TransactionalStateOperation, meta map[string]string) error {
	l, err := c.store(ctx, name)
	if err != nil {
		return err
	}
	defer l.Release()
	tx, ok := l.State.(state.TransactionalStore)
	if !ok || !state.FeatureTransactional.IsPresent(l.State.Features()) {
		return apierrors.StateStore(name).TransactionsNotSupported()
	}
	for i, op := range ops {
		key, err := c.key(l, op.GetKey())
		if err != nil {
			return err
		}
		switch op := op.(type) {
		case state.SetRequest:
			op.Key = key
			ops[i] = op
		case state.DeleteRequest:
			op.Key = key
			ops[i] = op
		}
	}
	if limited, ok := l.State.(state.TransactionalStoreMultiMaxSize); ok {
		if most := limited.MultiMaxSize(); most > 0 && len(ops) > most {
			return apierrors.StateStore(name).TooManyTransactionalOps(len(ops), most)
		}
	}
	if len(ops) == 0 {
		return nil
	}
	if err := tx.Multi(ctx, &state.TransactionalStateRequest{Operations: ops, Metadata: meta}); err != nil {
		return stateFault(errorcodes.StateTransaction, err, messages.ErrStateTransaction, err.Error())
	}
	return nil
}

// queryState asks a store that has queries. Rows of other apps, which a store knows no border to, are left out.
func (c *caller) queryState(ctx context.Context, name, query string, meta map[string]string) (*state.QueryResponse, error) {
	l, err := c.store(ctx, name)
	if err != nil {
		return nil, err
	}
	defer l.Release()
	querier, ok := l.State.(state.Querier)
	if !ok {
		return nil, apierrors.StateStore(name).QueryUnsupported()
	}
	req := &state.QueryRequest{Metadata: meta}
	if err := json.Unmarshal([]byte(query), &req.Query); err != nil {
		return nil, apierrors.StateStore(name).QueryFailed("failed to parse JSON query body: " + err.Error())
	}
	got, err := querier.Query(ctx, req)
	if err != nil {
		return nil, apierrors.StateStore(name).QueryFailed(err.Error())
	}
	prefix, err := c.key(l, "")
	if err != nil || got == nil {
		return &state.QueryResponse{}, err
	}
	own := got.Results[:0]
	for _, row := range got.Results {
		if key, ok := strings.CutPrefix(row.Key, prefix); ok {
			row.Key = key
			own = append(own, row)
		}
	}
	got.Results = own
	return got, nil
}
