package webhook

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // senders that know nothing better exist; HMAC-SHA1 is not broken
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/openfunction/ofn/internal/event/source"
)

// checker tells who a call is not from. What it answers is shown to the caller: it tells no secrets.
type checker func(h http.Header, body []byte, now time.Time) error

var (
	errMissing = errors.New("the signature is missing")
	errWrong   = errors.New("the signature is wrong")
	errOld     = errors.New("the time of the signature is too far from now")
)

func (s spec) checker() (checker, error) {
	tolerance := 5 * time.Minute
	if s.Tolerance != "" {
		d, err := time.ParseDuration(s.Tolerance)
		if err != nil || d <= 0 {
			return nil, source.Invalid{Field: "tolerance", Problem: "it must be a duration such as 5m"}
		}
		tolerance = d
	}
	if s.Verify == "" || s.Verify == "none" {
		return func(http.Header, []byte, time.Time) error { return nil }, nil
	}
	secrets := lines(s.Secret)
	if len(secrets) == 0 {
		return nil, source.Invalid{Field: "secret", Problem: "it is required to verify " + s.Verify + ": set it, or secretRefs.secret"}
	}
	switch s.Verify {
	case "github":
		return signed{secrets: secrets, header: "X-Hub-Signature-256", prefix: "sha256=", hash: sha256.New, decode: hex.DecodeString}.check, nil
	case "gitlab":
		return token(secrets, "X-Gitlab-Token"), nil
	case "token":
		return token(secrets, or(s.Header, "Authorization")), nil
	case "slack":
		return slack(secrets, tolerance), nil
	case "stripe":
		return stripe(secrets, tolerance), nil
	case "standard":
		return standard(secrets, tolerance)
	case "hmac":
		return s.hmac(secrets)
	}
	return nil, source.Invalid{Field: "verify", Problem: "it is none of none, github, gitlab, slack, stripe, standard, hmac and token: " + s.Verify}
}

func lines(s string) (all []string) {
	for l := range strings.Lines(s) {
		if l = strings.TrimSpace(l); l != "" {
			all = append(all, l)
		}
	}
	return all
}

func or(s, d string) string {
	if s == "" {
		return d
	}
	return s
}

func (s spec) hmac(secrets []string) (checker, error) {
	v := signed{secrets: secrets, header: or(s.Header, "X-Signature"), prefix: s.Prefix}
	switch s.Algorithm {
	case "", "sha256":
		v.hash = sha256.New
	case "sha1":
		v.hash = sha1.New
	case "sha512":
		v.hash = sha512.New
	default:
		return nil, source.Invalid{Field: "algorithm", Problem: "it is none of sha1, sha256 and sha512: " + s.Algorithm}
	}
	switch s.Encoding {
	case "", "hex":
		v.decode = hex.DecodeString
	case "base64":
		v.decode = base64.StdEncoding.DecodeString
	default:
		return nil, source.Invalid{Field: "encoding", Problem: "it is neither hex nor base64: " + s.Encoding}
	}
	return v.check, nil
}

// signed is a signature of the body in a header.
type signed struct {
	secrets        []string
	header, prefix string
	hash           func() hash.Hash
	decode         func(string) ([]byte, error)
}

func (s signed) check(h http.Header, body []byte, _ time.Time) error {
	value := h.Get(s.header)
	if value == "" {
		return fmt.Errorf("%w: header %s", errMissing, s.header)
	}
	rest, ok := strings.CutPrefix(value, s.prefix)
	given, err := s.decode(rest)
	if !ok || err != nil || !matches(s.secrets, s.hash, given, body) {
		return errWrong
	}
	return nil
}

// matches compares with the signature of every secret, in constant time.
func matches(secrets []string, h func() hash.Hash, given []byte, parts ...[]byte) bool {
	found := false
	for _, secret := range secrets {
		mac := hmac.New(h, []byte(secret))
		for _, p := range parts {
			mac.Write(p)
		}
		if hmac.Equal(mac.Sum(nil), given) {
			found = true
		}
	}
	return found
}

func token(secrets []string, header string) checker {
	return func(h http.Header, _ []byte, _ time.Time) error {
		value := h.Get(header)
		if strings.EqualFold(header, "Authorization") {
			if scheme, rest, ok := strings.Cut(value, " "); ok && strings.EqualFold(scheme, "Bearer") {
				value = strings.TrimSpace(rest)
			}
		}
		if value == "" {
			return fmt.Errorf("the token is missing: header %s", header)
		}
		found := 0
		given := sha256.Sum256([]byte(value)) // of one length, so that the length of a secret does not show
		for _, s := range secrets {
			want := sha256.Sum256([]byte(s))
			found |= subtle.ConstantTimeCompare(given[:], want[:])
		}
		if found == 0 {
			return errors.New("the token is wrong")
		}
		return nil
	}
}

// fresh tells whether a time of a signature, in seconds, is near enough: an old call that is sent again is refused.
func fresh(seconds string, now time.Time, tolerance time.Duration) error {
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return errWrong
	}
	if d := now.Sub(time.Unix(n, 0)); d > tolerance || d < -tolerance {
		return errOld
	}
	return nil
}

func slack(secrets []string, tolerance time.Duration) checker {
	return func(h http.Header, body []byte, now time.Time) error {
		at, value := h.Get("X-Slack-Request-Timestamp"), h.Get("X-Slack-Signature")
		if at == "" || value == "" {
			return fmt.Errorf("%w: headers X-Slack-Request-Timestamp and X-Slack-Signature", errMissing)
		}
		rest, ok := strings.CutPrefix(value, "v0=")
		given, err := hex.DecodeString(rest)
		if !ok || err != nil || !matches(secrets, sha256.New, given, []byte("v0:"+at+":"), body) {
			return errWrong
		}
		return fresh(at, now, tolerance)
	}
}

func stripe(secrets []string, tolerance time.Duration) checker {
	return func(h http.Header, body []byte, now time.Time) error {
		at, right := "", false
		header := h.Get("Stripe-Signature")
		if header == "" {
			return fmt.Errorf("%w: header Stripe-Signature", errMissing)
		}
		var given [][]byte
		for part := range strings.SplitSeq(header, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			switch name {
			case "t":
				at = value
			case "v1":
				if b, err := hex.DecodeString(value); err == nil && len(given) < 8 {
					given = append(given, b)
				}
			}
		}
		for _, g := range given {
			right = matches(secrets, sha256.New, g, []byte(at+"."), body) || right
		}
		if !right {
			return errWrong
		}
		return fresh(at, now, tolerance)
	}
}

func standard(secrets []string, tolerance time.Duration) (checker, error) {
	var hooks []*standardwebhooks.Webhook
	for _, s := range secrets {
		w, err := standardwebhooks.NewWebhook(s)
		if err != nil {
			return nil, source.Invalid{Field: "secret", Problem: "a secret of Standard Webhooks is base64, with whsec_ before it or without"}
		}
		hooks = append(hooks, w)
	}
	return func(h http.Header, body []byte, now time.Time) error {
		err := errWrong
		for _, w := range hooks {
			switch got := w.VerifyIgnoringTimestamp(body, h); {
			case got == nil:
				err = nil
			case errors.Is(got, standardwebhooks.ErrRequiredHeaders):
				return fmt.Errorf("%w: headers webhook-id, webhook-timestamp and webhook-signature", errMissing)
			}
		}
		if err != nil {
			return err
		}
		return fresh(h.Get(standardwebhooks.HeaderWebhookTimestamp), now, tolerance)
	}, nil
}
