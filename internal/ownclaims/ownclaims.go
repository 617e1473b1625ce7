// Package ownclaims keeps the claims of a program's own apart from those of the protocol.
package ownclaims

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/server"
)

// Leave leaves out of the claims of a program's own those that have the name of a claim of
// the protocol, in any language, or a name that readers which fold case take for one. The
// log has their names at the level of debugging: a program that says them says so each
// time.
func Leave(ctx context.Context, srv *server.Server, from string, claims map[string]any, protocol []string) {
	var left []string
	maps.DeleteFunc(claims, func(name string, _ any) bool {
		claim, _, _ := strings.Cut(name, "#")
		collides := slices.ContainsFunc(protocol, func(one string) bool { return strings.EqualFold(one, claim) })
		if collides {
			left = append(left, name)
		}
		return collides
	})
	if len(left) == 0 || srv == nil {
		return
	}
	slices.Sort(left)
	srv.LogDebug(ctx, "claims of the program's own have the names of claims of the protocol, and are left out",
		slog.String("from", from), slog.String("claims", strings.Join(left, " ")))
}
