package subscriber

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// heldError is why nothing is applied or deleted for the moment.
type heldError struct {
	cause error
	hint  string
	// other: there is a folder, but not the one that was followed.
	other bool
}

func (e *heldError) Error() string { return "held: " + e.cause.Error() }

func (e *heldError) Unwrap() error { return e.cause }

const mountHint = "is its disk mounted? It goes on by itself when the folder is back; if the folder was replaced on purpose, ask for a reconcile"

// openFolder opens the share's folder and makes sure that it is the one the
// state is about: an empty mount point must not be filled, nor a foreign folder
// be cleared. With adopt it is taken as it is: the caller reconciles then, and
// no record vouches for a file of another folder.
func (r *Replica) openFolder(adopt bool) (*tree, error) {
	var known identity
	var files int64
	err := r.state.view(func(tx *stateTx) error {
		known, _ = tx.identity()
		if k, _ := tx.files().Cursor().First(); k != nil {
			files = 1
		}
		return nil
	})
	if err != nil {
		return nil, broken("reading the state", err)
	}
	t, err := openTree(r.o.Dir)
	if errors.Is(err, fs.ErrNotExist) && (files == 0 || adopt) {
		if err := os.Mkdir(r.o.Dir, 0o755); err != nil {
			return nil, &heldError{cause: fmt.Errorf("making the share's folder: %w", err), hint: "make the folder, or the one above it"}
		}
		t, err = openTree(r.o.Dir)
	}
	if err != nil {
		return nil, &heldError{cause: fmt.Errorf("opening the share's folder: %w", err), hint: mountHint}
	}
	if err := r.identify(t, known, files > 0 && !adopt, adopt); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// identify compares the folder with what the state knows of it.
func (r *Replica) identify(t *tree, known identity, must, adopt bool) error {
	st, err := t.top.lstat(".")
	if err != nil {
		return &heldError{cause: fmt.Errorf("looking at the share's folder: %w", err), hint: mountHint}
	}
	token, err := readToken(t)
	if err != nil {
		return &heldError{cause: fmt.Errorf("reading %s/%s: %w", hidden, tokenName, err), hint: mountHint}
	}
	same := token != "" && token == known.Token ||
		token == "" && known.Token != "" && st.inode != 0 && st.dev == known.Dev && st.inode == known.Inode
	if !same && must {
		return &heldError{
			cause: fmt.Errorf("%s is not the folder that was followed before", r.o.Dir),
			hint:  mountHint, other: true,
		}
	}
	if token == "" {
		token = known.Token
		if token == "" || !same {
			token = rand.Text()
		}
		if err := writeToken(t, token); err != nil {
			return &heldError{cause: fmt.Errorf("preparing %s: %w", hidden, err), hint: "let the service's user write to the share's folder"}
		}
	}
	now := identity{Token: token, Dev: st.dev, Inode: st.inode}
	if now == known && !adopt {
		return nil
	}
	return broken("writing the state", r.state.update(func(tx *stateTx) error { return tx.setIdentity(now) }))
}

func readToken(t *tree) (string, error) {
	f, err := t.root.Open(filepath.Join(hidden, tokenName))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 256))
	return strings.TrimSpace(string(b)), err
}

// writeToken stores the token, durably, before anything else is put there.
func writeToken(t *tree, token string) error {
	own, err := ownFolder(t.top, hidden)
	if err != nil {
		return err
	}
	defer own.close()
	f, err := own.openStaged(tokenName)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(token+"\n"), 0)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = own.sync()
	}
	if err == nil {
		err = t.top.sync()
	}
	return err
}

// intact returns a heldError when the share's path leads no more to the folder
// that is open.
func (r *Replica) intact(t *tree) error {
	now, err := os.Stat(r.o.Dir)
	if err != nil {
		return &heldError{cause: fmt.Errorf("looking at the share's folder: %w", err), hint: mountHint}
	}
	open, err := t.root.Stat(".")
	if err != nil {
		return &heldError{cause: fmt.Errorf("looking at the share's folder: %w", err), hint: mountHint}
	}
	if !os.SameFile(now, open) {
		return &heldError{cause: fmt.Errorf("%s is another folder than before", r.o.Dir), hint: mountHint, other: true}
	}
	return nil
}
