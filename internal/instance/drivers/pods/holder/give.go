package holder

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Give gives the holder at an address ("host:port") the program of a reader with size bytes. When it returns without an error the program
// is being executed.
func Give(ctx context.Context, c *http.Client, address, token string, o Order, program io.Reader, size int64) error {
	line, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encoding the order: %w", err)
	}
	line = append(line, '\n')
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+path, io.MultiReader(bytes.NewReader(line), program))
	if err != nil {
		return err
	}
	req.ContentLength = int64(len(line)) + size
	req.Header.Set("Authorization", "Bearer "+token)
	return ask(c, req)
}

// Waits asks the holder at an address whether it waits for a program.
func Waits(ctx context.Context, c *http.Client, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return err
	}
	return ask(c, req)
}

func ask(c *http.Client, req *http.Request) error {
	resp, err := c.Do(req)
	if err != nil {
		return fmt.Errorf("talking to a warm pod: %w", err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("a warm pod answered %s: %s", resp.Status, strings.TrimSpace(string(said)))
	}
	return err
}
