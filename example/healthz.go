package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// healthz is for load balancers: 200 while the database answers.
func (a *app) healthz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := a.db.WithContext(ctx).Exec("SELECT 1").Error; err != nil {
		a.log.ErrorContext(ctx, "the database does not answer", slog.String("cause", err.Error()))
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "the database does not answer"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}
