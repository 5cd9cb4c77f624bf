package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/moby/sys/user"
)

// maxAccounts bounds what is read of a passwd or group file.
const maxAccounts = 4 << 20

// User finds the numeric user and group of a user as images name it: "", "1000", "1000:1000", "nobody", "app:staff".
// Names are looked up in /etc/passwd and /etc/group of the image. Empty is root.
func (r Rootfs) User(spec string) (uid, gid uint32, err error) {
	u, err := user.GetExecUser(spec, &user.ExecUser{Home: "/"}, r.file("etc/passwd"), r.file("etc/group"))
	if err != nil {
		return 0, 0, &Failure{Reason: InvalidImage, Err: err, Message: fmt.Sprintf("the image's user %q: %v", spec, err)}
	}
	return uint32(u.Uid), uint32(u.Gid), nil
}

// file reads a small file of the highest layer that has it, empty when none has.
func (r Rootfs) file(name string) io.Reader {
	for _, layer := range slices.Backward(r.Layers) {
		data, err := readIn(layer, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return bytes.NewReader(data)
	}
	return bytes.NewReader(nil)
}

// readIn reads a file without leaving dir, whatever links the image holds.
func readIn(dir, name string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxAccounts))
}
