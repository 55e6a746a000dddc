// Command natsserver is NATS's own server for tests. Its argument is a configuration file; it ends
// when standard input ends. With -operator and a folder it makes an operator with one user there,
// and ends: operator.conf is for the configuration, user.creds for the user. It is a module of its
// own, so that no other program depends on it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

func main() {
	folder := flag.String("operator", "", "make an operator in this folder")
	flag.Parse()
	err := errors.New("want a configuration file")
	switch {
	case *folder != "":
		err = makeOperator(*folder)
	case flag.NArg() == 1:
		err = serve(flag.Arg(0))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "natsserver:", err)
		os.Exit(1)
	}
}

func serve(config string) error {
	options, err := server.ProcessConfigFile(config)
	if err != nil {
		return err
	}
	options.NoSigs = true
	s, err := server.NewServer(options)
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		return errors.New("not ready")
	}
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

// identity is a key pair with its public key.
type identity struct {
	nkeys.KeyPair
	public string
}

func makeIdentity(create func() (nkeys.KeyPair, error)) (identity, error) {
	pair, err := create()
	if err != nil {
		return identity{}, err
	}
	public, err := pair.PublicKey()
	return identity{pair, public}, err
}

func makeOperator(folder string) error {
	operator, err1 := makeIdentity(nkeys.CreateOperator)
	system, err2 := makeIdentity(nkeys.CreateAccount)
	account, err3 := makeIdentity(nkeys.CreateAccount)
	user, err4 := makeIdentity(nkeys.CreateUser)
	seed, err5 := user.Seed()
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	operatorJWT, err1 := jwt.NewOperatorClaims(operator.public).Encode(operator)
	systemJWT, err2 := jwt.NewAccountClaims(system.public).Encode(operator)
	accountJWT, err3 := jwt.NewAccountClaims(account.public).Encode(operator)
	userJWT, err4 := jwt.NewUserClaims(user.public).Encode(account)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	creds, err := jwt.FormatUserConfig(userJWT, seed)
	if err != nil {
		return err
	}
	conf := fmt.Sprintf("operator: %s\nsystem_account: %s\nresolver: MEMORY\n"+
		"resolver_preload: {%s: %s, %s: %s}\n", operatorJWT, system.public, system.public, systemJWT, account.public, accountJWT)
	return errors.Join(os.WriteFile(filepath.Join(folder, "operator.conf"), []byte(conf), 0o600),
		os.WriteFile(filepath.Join(folder, "user.creds"), creds, 0o600))
}
