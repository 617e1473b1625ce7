package weburi

import (
	"slices"
	"strings"
)

// StartsPrograms reports whether a scheme cannot lead to a client, because a browser or
// an operating system runs a script or a program for it, opens a file or a page of its
// own, or starts a mail or a call.
func StartsPrograms(scheme string) bool {
	scheme = strings.ToLower(scheme)
	for _, prefix := range []string{"ms-", "microsoft-", "microsoft.", "chrome-", "moz-", "x-apple", "android-", "itms-"} {
		if strings.HasPrefix(scheme, prefix) {
			return true
		}
	}
	return strings.HasSuffix(scheme, "-extension") || slices.Contains(startsPrograms[:], scheme)
}

// IsPrivateUseScheme reports whether a text is a scheme in lowercase (RFC 3986 section
// 3.1) that a client can use for its redirect URI.
func IsPrivateUseScheme(scheme string) bool {
	const rest = "abcdefghijklmnopqrstuvwxyz0123456789+-."
	return scheme != "" && isLetter(scheme[0]) && strings.Trim(scheme, rest) == "" && !IsWeb(scheme) && !StartsPrograms(scheme)
}

var startsPrograms = [...]string{
	// Scripts and documents with the origin of the page.
	"javascript", "vbscript", "livescript", "mocha", "data", "blob", "filesystem", "about", "srcdoc",
	// Files, and documents inside files.
	"file", "jar", "mhtml", "mk", "res", "resource", "content", "cid", "mid", "wyciwyg", "view-source",
	// The browser's own pages.
	"chrome", "devtools", "edge", "opera", "brave", "vivaldi", "browser", "extension", "feed", "pcast",
	// The operating system's programs, searches and shells.
	"intent", "shell", "search", "search-ms", "hcp", "help", "applescript", "shortcuts", "workflow", "jnlp", "jnlps", "clsid", "ldap", "ldaps",
	"market", "itms", "itmss", "steam", "ssh", "telnet", "rlogin", "tn3270", "vnc", "rdp", "smb", "afp", "nfs", "dav", "davs", "webcal", "magnet",
	// Mail, calls and news.
	"mailto", "tel", "sms", "smsto", "mms", "mmsto", "callto", "sip", "sips", "facetime", "facetime-audio", "geo", "news", "snews", "nntp",
	// Other network protocols.
	"ftp", "ftps", "sftp", "ws", "wss", "gopher",
}
