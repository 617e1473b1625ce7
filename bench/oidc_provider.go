package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// oidcProvider is the peer that is a program of Node.js. Its files travel in
// this binary; its packages, pinned by the lock file, are installed in the
// workplace.
//
//go:embed oidc-provider/*.js oidc-provider/*.json
var oidcProvider embed.FS

const oidcProviderName = "oidc-provider"

var errNoNode = errors.New("node and npm are not installed")

// installOIDCProvider returns the directory of the program.
func (w *workplace) installOIDCProvider() (dir string, err error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", errNoNode
	}
	if _, err := exec.LookPath("node"); err != nil {
		return "", errNoNode
	}
	files, err := fs.Sub(oidcProvider, oidcProviderName)
	if err != nil {
		return "", err
	}
	dir = filepath.Join(w.dir, oidcProviderName)
	if err := os.CopyFS(dir, files); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // without a network, npm tries for long
	defer cancel()
	install := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline") //nolint:gosec // from PATH
	install.WaitDelay = time.Second                                                                                   // its children may hold the output
	install.Dir = dir
	if output, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, output)
	}
	return dir, nil
}

func oidcProviderCommand(dir, dsn string) (*exec.Cmd, error) {
	settings, err := json.Marshal(map[string]any{
		"dsn": dsn, "connections": connections, "life": tokenLife.Seconds(),
		"clientID": clientID, "clientSecret": clientSecret, "redirectURI": redirectURI, "challenge": challenge,
	})
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("node", filepath.Join(dir, "server.js"), string(settings)) //nolint:gosec,noctx // it ends with stop
	cmd.Env = append(os.Environ(), "NODE_ENV=production")
	return cmd, nil
}
