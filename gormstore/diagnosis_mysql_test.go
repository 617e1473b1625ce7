package gormstore

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Each setting of MySQL and MariaDB that has to be different is found, and no other. That the
// settings are read is tested on MariaDB, in internal/engines.
func TestTheSettingsOfMySQLAreDiagnosed(t *testing.T) {
	sound := map[string]string{
		"wsrep_on": "OFF", "wsrep_sync_wait": "0", "read_only": "OFF", "innodb_read_only": "OFF", "sql_mode": "STRICT_TRANS_TABLES,NO_ZERO_DATE",
		"innodb_lock_wait_timeout": "1", "tx_isolation": "REPEATABLE-READ", "transaction_isolation": "READ-COMMITTED", "innodb_flush_log_at_trx_commit": "1",
		"character_set_connection": "utf8mb4",
	}
	const durability, sync = "warning durability innodb_flush_log_at_trx_commit: is ", "warning wsrep_sync_wait wsrep_sync_wait: is "
	for _, c := range []struct {
		changed map[string]string
		want    []string
	}{
		{nil, nil},
		{map[string]string{"read_only": "ON"}, []string{"grave read_only read_only: is on: this is a replica"}},
		{map[string]string{"innodb_read_only": "ON"}, []string{"grave read_only read_only: is on: this is a replica"}},
		{map[string]string{"tx_isolation": "READ-UNCOMMITTED"}, []string{"grave isolation tx_isolation: is READ-UNCOMMITTED"}},
		{map[string]string{"transaction_isolation": "READ-UNCOMMITTED"}, []string{"grave isolation transaction_isolation: is READ-UNCOMMITTED"}},
		{map[string]string{"tx_isolation": "READ-UNCOMMITTED", "transaction_isolation": "READ-UNCOMMITTED"}, []string{"grave isolation tx_isolation: is READ-UNCOMMITTED"}},
		{map[string]string{"innodb_lock_wait_timeout": "2"}, []string{"warning lock_wait_timeout innodb_lock_wait_timeout: is 2 s, which is not below the storage budget of a request, 2s"}},
		{map[string]string{"innodb_lock_wait_timeout": ""}, nil},
		{map[string]string{"wsrep_sync_wait": "2"}, nil},
		{map[string]string{"wsrep_on": "ON", "wsrep_sync_wait": "0"}, []string{sync + "0 on a Galera cluster"}},
		{map[string]string{"wsrep_on": "ON", "wsrep_sync_wait": "6"}, []string{sync + "6 on a Galera cluster"}},
		{map[string]string{"wsrep_on": "ON", "wsrep_sync_wait": "10"}, []string{sync + "10 on a Galera cluster"}},
		{map[string]string{"wsrep_on": "ON", "wsrep_sync_wait": "1"}, nil},
		{map[string]string{"wsrep_on": "ON", "wsrep_sync_wait": "15"}, nil},
		{map[string]string{"wsrep_on": "ON", "wsrep_sync_wait": ""}, nil},
		{map[string]string{"innodb_flush_log_at_trx_commit": "0"}, []string{durability + "0"}},
		{map[string]string{"innodb_flush_log_at_trx_commit": "2"}, []string{durability + "2"}},
		{map[string]string{"innodb_flush_log_at_trx_commit": ""}, nil},
		{map[string]string{"innodb_flush_log_at_trx_commit": "2", "wsrep_on": "ON", "wsrep_sync_wait": "1"}, nil},
		{map[string]string{"sql_mode": ""}, []string{"warning sql_mode sql_mode: is not strict"}},
		{map[string]string{"sql_mode": "STRICT_ALL_TABLES"}, nil},
		{map[string]string{"character_set_connection": "latin1"}, []string{"warning character_set the connection string: has the character set latin1"}},
	} {
		variables := maps.Clone(sound)
		maps.Copy(variables, c.changed)
		x := &examination{ctx: t.Context()}
		x.examineVariables(variables)
		var found []string
		for _, one := range x.findings {
			assert.NotEmpty(t, one.Consequence)
			assert.NotEmpty(t, one.Remedy)
			found = append(found, one.Severity.String()+" "+one.Check+" "+one.Where+": "+one.Problem)
		}
		assert.Equal(t, c.want, found, c.changed)
	}
}
