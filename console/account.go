package console

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

const (
	// AccountFile is the name of the password file in the data folder.
	AccountFile = "console.passwd"
	// AccountName is the one account there is.
	AccountName = "admin"

	minPassword = 10  // characters; NIST SP 800-63B wants 8 at least, and no rules on what they are
	maxPassword = 256 // bytes; what is hashed for strangers has a bound
	maxAccount  = 1 << 10

	saltBytes = 16
	hashBytes = 32
)

// hashCost is what one argon2id costs.
type hashCost struct {
	memory  uint32 // KiB
	time    uint32
	threads uint8
}

// defaultCost is RFC 9106's second recommended option, for where memory is
// dear: 64 MiB and about 100 ms of one core.
var defaultCost = hashCost{memory: 64 << 10, time: 3, threads: 4}

// PasswordError is why a password cannot be taken.
type PasswordError struct{ key string }

func (e *PasswordError) Error() string {
	if e.key == "setup.long" {
		return fmt.Sprintf("the password is longer than %d bytes", maxPassword)
	}
	return fmt.Sprintf("the password is shorter than %d characters", minPassword)
}

// SetPassword makes the administrator's account in the data folder dir, or
// gives it another password. The file is of mode 0600 and replaced as a whole;
// a service that runs takes it at once and ends all sessions.
func SetPassword(dir, password string) error { return setPassword(dir, password, defaultCost) }

func setPassword(dir, password string, cost hashCost) error {
	if err := checkPassword(password); err != nil {
		return err
	}
	salt := make([]byte, saltBytes)
	rand.Read(salt) // never fails, says its documentation
	h := passwordHash{cost: cost, salt: salt}
	h.sum = h.of(password)
	if err := writePrivate(filepath.Join(dir, AccountFile), []byte(AccountName+":"+h.String()+"\n")); err != nil {
		return fmt.Errorf("writing the password file: %w", err)
	}
	return nil
}

func checkPassword(password string) error {
	switch {
	case utf8.RuneCountInString(password) < minPassword:
		return &PasswordError{"setup.short"}
	case len(password) > maxPassword:
		return &PasswordError{"setup.long"}
	}
	return nil
}

// account is the administrator's account as its file says now.
type account struct {
	hash passwordHash
	// version changes when the file does.
	version string
}

// loadAccount reads the account; fs.ErrNotExist means that there is none yet.
func loadAccount(dir string) (*account, error) {
	b, err := os.ReadFile(filepath.Join(dir, AccountFile))
	if err != nil {
		return nil, fmt.Errorf("reading the password file: %w", err)
	}
	name, text, ok := strings.Cut(strings.TrimSpace(string(b)), ":")
	if !ok || name != AccountName || len(b) > maxAccount {
		return nil, errors.New("reading the password file: it is damaged: make it anew with `waptsync console passwd`")
	}
	h, err := parseHash(text)
	if err != nil {
		return nil, fmt.Errorf("reading the password file: %w: make it anew with `waptsync console passwd`", err)
	}
	return &account{hash: h, version: text}, nil
}

func accountExists(dir string) (bool, error) {
	_, err := os.Lstat(filepath.Join(dir, AccountFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// passwordHash is an argon2id in the text form of its reference implementation:
// $argon2id$v=19$m=65536,t=3,p=4$salt$hash.
type passwordHash struct {
	cost hashCost
	salt []byte
	sum  []byte
}

func (h *passwordHash) of(password string) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.cost.time, h.cost.memory, h.cost.threads, hashBytes)
}

// matches takes the same time for every password.
func (h *passwordHash) matches(password string) bool {
	return subtle.ConstantTimeCompare(h.of(password), h.sum) == 1
}

func (h *passwordHash) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		h.cost.memory, h.cost.time, h.cost.threads, b64.EncodeToString(h.salt), b64.EncodeToString(h.sum))
}

// parseHash reads what String wrote. It bounds the cost, since whoever may
// knock on the door makes the service pay it.
func parseHash(text string) (passwordHash, error) {
	damaged := errors.New("it holds no argon2id hash")
	fields := strings.Split(text, "$")
	if len(fields) != 6 || fields[0] != "" || fields[1] != "argon2id" || fields[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return passwordHash{}, damaged
	}
	var h passwordHash
	if _, err := fmt.Sscanf(fields[3], "m=%d,t=%d,p=%d", &h.cost.memory, &h.cost.time, &h.cost.threads); err != nil {
		return passwordHash{}, damaged
	}
	if h.cost.memory < 8 || h.cost.memory > 1<<20 || h.cost.time < 1 || h.cost.time > 64 || h.cost.threads < 1 {
		return passwordHash{}, errors.New("its argon2id hash costs nothing or too much")
	}
	var errSalt, errSum error
	h.salt, errSalt = base64.RawStdEncoding.Strict().DecodeString(fields[4])
	h.sum, errSum = base64.RawStdEncoding.Strict().DecodeString(fields[5])
	if errSalt != nil || errSum != nil || len(h.salt) < 8 || len(h.sum) != hashBytes {
		return passwordHash{}, damaged
	}
	return h, nil
}

// writePrivate replaces a file by one of mode 0600 that is on disk when it returns.
func writePrivate(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // of mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(content); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}
