package gormstore_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/finding"
)

// JSON of a row that cannot be read, or in two ways, is named with its row and column: of
// tokens, codes, devices, consents and the trail.
func TestStoredJSONIsDiagnosed(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		const details, claims = `[{"type":"a","x":{"y":[1.50]}}]`, `{"userinfo":{"email":null}}`
		granted := models.Authorization{ClientID: "c", GrantID: "g", Claims: claims, Confirmation: `{"jkt":"a"}`}
		rows := map[string]any{
			"tokens": &oauthtest.Token{TokenMixin: models.TokenMixin{
				AccessToken: "a", Authorization: granted, AuthorizationDetails: details, GrantedAuthorizationDetails: details, Actor: `{"sub":"a"}`,
			}},
			"authorization_codes": &oauthtest.AuthorizationCode{UserID: 1, AuthorizationCodeMixin: models.AuthorizationCodeMixin{Code: "a", AuthorizationDetails: details, Authorization: granted}},
			"device_codes":        &oauthtest.DeviceCode{DeviceCodeMixin: models.DeviceCodeMixin{DeviceCode: "a", UserCode: "b", AuthorizationDetails: details, Authorization: granted}},
			"consents":            &oauthtest.Consent{UserID: 1, ConsentMixin: models.ConsentMixin{ConsentKey: "a", AuthorizationDetails: details, Claims: claims}},
			"audits":              &oauthtest.Audit{AuditMixin: models.AuditMixin{AuditKey: "a", AuthorizationDetails: details}},
		}
		require.NoError(t, db.Create(&oauthtest.User{ID: 1}).Error)
		for table, row := range rows {
			require.NoError(t, db.Create(row).Error, table)
		}
		assert.Empty(t, diagnosed(t, db), "with good JSON")

		lists := map[string]string{
			`[{"type":"a","type":"b"}]`: `"/0/type" is given twice`, `[{"x":{"y":1,"y":2}}]`: `"/0/x/y" is given twice`, `{"type":"a"}`: "the text has the wrong JSON type", `["a"]`: `"/0" has the wrong JSON type`,
			`null`: "the text has the wrong JSON type", `[{"type":"\ud800"}]`: `"/0/type" is not JSON in valid UTF-8`, `not JSON`: "the text is not JSON", `[null]`: "the text has the wrong JSON type",
		}
		objects := map[string]string{`{"a":1,"a":2}`: `"/a" is given twice`, `{"a":{"b":1,"b":2}}`: `"/a/b" is given twice`, `[]`: "the text has the wrong JSON type", `null`: "the text has the wrong JSON type", `x`: "the text is not JSON"}
		for table, columns := range map[string]map[string]map[string]string{
			"tokens":              {"authorization_details": lists, "granted_authorization_details": lists, "claims": objects, "actor": objects, "confirmation": objects},
			"authorization_codes": {"authorization_details": lists, "claims": objects, "confirmation": objects},
			"device_codes":        {"authorization_details": lists, "claims": objects, "confirmation": objects},
			"consents":            {"authorization_details": lists, "claims": objects},
			"audits":              {"authorization_details": lists},
		} {
			for column, faults := range columns {
				var good string
				require.NoError(t, db.Table(table).Pluck(column, &good).Error)
				for text, problem := range faults {
					require.NoError(t, db.Table(table).Where("1 = 1").UpdateColumn(column, text).Error)
					found := diagnosed(t, db, rows[table])
					assert.Len(t, found, 1, "%s.%s: %s", table, column, text)
					one := found["stored_json table "+table]
					assert.Equal(t, finding.Warning, one.Severity)
					assert.Contains(t, one.Problem, `in 1 of its rows: id "1": `+column+" "+problem, "%s.%s: %s", table, column, text)
				}
				for _, nothing := range []any{"", nil} {
					require.NoError(t, db.Table(table).Where("1 = 1").UpdateColumn(column, nothing).Error)
					assert.Empty(t, diagnosed(t, db, rows[table]), "%s.%s: %v", table, column, nothing)
				}
				require.NoError(t, db.Table(table).Where("1 = 1").UpdateColumn(column, good).Error)
			}
		}

		many := make([]oauthtest.Token, 1100)
		for i := range many {
			many[i].TokenMixin = models.TokenMixin{AccessToken: fmt.Sprint("t", i), Authorization: granted, Actor: `{"sub":"` + strings.Repeat("a", 1000) + `","sub":"b"}`}
		}
		require.NoError(t, db.CreateInBatches(&many, 50).Error)
		finding := diagnosed(t, db)["stored_json table tokens"]
		assert.Regexp(t, `in (999|1000) of its rows`, finding.Problem, "so many are looked at")
		assert.Contains(t, finding.Problem, "and others")
		assert.Less(t, len(finding.Problem), 1000)
		assert.NotContains(t, finding.Problem, "aaa", "what stands there is not told")
	})
}
