package main

import (
	"bytes"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRefusesToStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })

	for name, tt := range map[string]struct {
		args []string
		env  map[string]string
		want string
	}{
		"unknown flag":             {args: []string{"-bogus"}, want: "-bogus"},
		"bad flag value":           {args: []string{"-demo=perhaps"}, want: "-demo"},
		"value after a space":      {args: []string{"-demo", "false"}, want: "-demo=false"},
		"bad environment":          {env: map[string]string{"GORMOAUTH_DEMO": "perhaps"}, want: "GORMOAUTH_DEMO"},
		"bad PKCE":                 {args: []string{"-pkce", "sometimes"}, want: `-pkce is "sometimes"; write required, with-nonce or optional`},
		"bad PKCE of environment":  {env: map[string]string{"GORMOAUTH_PKCE": "on"}, want: `-pkce is "on"`},
		"a resource that is none":  {args: []string{"-resource", "orders"}, want: `-resource "orders" is not the URL of an API`},
		"a bad host of a resource": {args: []string{"-resource", "https://a;b/"}, want: "https://a;b/"},
		"a resource twice":         {args: []string{"-resource", "https://a.example", "-resource", "https://A.example/"}, want: "is given twice"},
		"its own resource":         {args: []string{"-issuer", "http://127.0.0.1:1", "-resource", "http://127.0.0.1:1/"}, want: "is the API of this program itself"},
		"a proxy that is none":     {args: []string{"-trusted-proxy", "proxy.example"}, want: `-trusted-proxy "proxy.example" is not an address or a network`},
		"everybody as a proxy":     {env: map[string]string{"GORMOAUTH_TRUSTED_PROXIES": "10.0.0.1 ::/0"}, want: "-trusted-proxy ::/0 is everybody"},
		"bad address":              {args: []string{"-addr", "nowhere"}, want: "host:port"},
		"port in use":              {args: []string{"-addr", taken.Addr().String()}, want: "address already in use"},
		"demo on a public issuer":  {args: []string{"-issuer", "https://id.example.com"}, want: "-demo=false"},
		"issuer from environment":  {env: map[string]string{"GORMOAUTH_ISSUER": "https://id.example.com"}, want: "-demo=false"},
		"plain http in public":     {args: []string{"-issuer", "http://id.example.com", "-demo=false"}, want: "https"},
		"issuer with a path":       {args: []string{"-issuer", "https://id.example.com/auth", "-demo=false"}, want: "path"},
		"every interface":          {args: []string{"-addr", "0.0.0.0:0"}, want: "-issuer"},
		"no such directory":        {args: []string{"-db", filepath.Join(t.TempDir(), "missing", "x.db")}, want: "cannot open the database"},
		"unreachable database":     {args: []string{"-db", "postgres://somebody:hush@127.0.0.1:1/x"}, want: "cannot reach the database"},
		"empty database":           {args: []string{"-db", ""}, want: "-db is empty"},
		"flag wins over the other": {args: []string{"-addr", "nowhere"}, env: map[string]string{"GORMOAUTH_ADDR": "127.0.0.1:0"}, want: "nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"-addr", "127.0.0.1:0", "-db", filepath.Join(t.TempDir(), "x.db")}, tt.args...)
			var stdout, stderr bytes.Buffer
			err := run(t.Context(), args, func(name string) string { return tt.env[name] }, &stdout, &stderr)
			if err == nil || !strings.Contains(oneLine(err), tt.want) {
				t.Fatalf("error %v, want one with %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("the error tells the password: %v", err)
			}
			if stdout.Len()+stderr.Len() > 0 {
				t.Errorf("printed %q and %q beside the error", &stdout, &stderr)
			}
		})
	}
}

// A request that is being answered when the program is told to stop gets its
// answer; the program then ends without an error.
func TestShutdownDrains(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	head := "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\nContent-Length: 33\r\n\r\n"
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	// The program asks for the body: it is in the middle of the request.
	buffer := make([]byte, 4096)
	n, err := conn.Read(buffer)
	if err != nil || !strings.Contains(string(buffer[:n]), "100 Continue") {
		t.Fatalf("%q, %v", buffer[:n], err)
	}
	p.stop()
	select {
	case <-p.ended:
		t.Fatal("ended with a request in flight")
	case <-time.After(50 * time.Millisecond):
	}
	if _, err := io.WriteString(conn, "username=alice&password=wonderlan"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 401 ") {
		t.Errorf("the request in flight got %q, %v", answer, err)
	}
	if err := p.end(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestStartsAgainOnTheSameDatabase(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "odd ?name#%20.db")
	first := startProgramOn(t, "-db", database)
	alice := first.signedIn(t, "alice", "wonderland")
	if err := first.end(); err != nil {
		t.Fatal(err)
	}

	second := startProgramOn(t, "-db", database)
	alice.program = second
	alice.get("/").want(t, http.StatusOK, "Alice Liddell") // her session outlived the restart
}

// A database that was seeded once must not keep accounts whose passwords are
// in the documentation.
func TestDemoAccountsRetire(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "example.db")
	demo := startProgramOn(t, "-db", database)
	alice := demo.signedIn(t, "alice", "wonderland")
	if err := demo.end(); err != nil {
		t.Fatal(err)
	}

	public := startProgramOn(t, "-db", database, "-demo=false")
	alice.program = public
	if answer := alice.get("/"); strings.Contains(answer.body, "Alice Liddell") {
		t.Error("alice is still signed in")
	}
	b := public.visit(t)
	b.post("/login", form("username", "alice", "password", "wonderland")).want(t, http.StatusUnauthorized)
	b.do(http.MethodPost, "/oauth/token", strings.NewReader("grant_type=client_credentials"),
		http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("demo-service:demo-service-secret"))}}).
		want(t, http.StatusUnauthorized, "invalid_client")
}

func TestMemoryDatabaseOutlivesItsRequests(t *testing.T) {
	t.Parallel()
	p := startProgramOn(t, "-db", ":memory:")
	alice := p.signedIn(t, "alice", "wonderland")
	for range 5 {
		alice.get("/").want(t, http.StatusOK, "Alice Liddell")
	}
}
