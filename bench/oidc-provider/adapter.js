// An ordinary store for oidc-provider in PostgreSQL: one table for its models,
// as in the examples of its repository, with an index for each way in which it
// looks rows up, and prepared statements.

const schema = `
  CREATE TABLE IF NOT EXISTS oidc_payloads (
    model text NOT NULL,
    id text NOT NULL,
    payload jsonb NOT NULL,
    grant_id text,
    uid text,
    user_code text,
    expires_at timestamptz,
    consumed_at timestamptz,
    PRIMARY KEY (id, model)
  );
  CREATE INDEX IF NOT EXISTS idx_oidc_payloads_grant_id ON oidc_payloads (grant_id);
  CREATE INDEX IF NOT EXISTS idx_oidc_payloads_uid ON oidc_payloads (uid) WHERE uid IS NOT NULL;
  CREATE INDEX IF NOT EXISTS idx_oidc_payloads_user_code ON oidc_payloads (user_code) WHERE user_code IS NOT NULL`;

export const migrate = (pool) => pool.query(schema);

const statements = {
  upsert: `INSERT INTO oidc_payloads (model, id, payload, grant_id, uid, user_code, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, now() + $7 * interval '1 second')
    ON CONFLICT (id, model) DO UPDATE SET payload = excluded.payload, grant_id = excluded.grant_id,
      uid = excluded.uid, user_code = excluded.user_code, expires_at = excluded.expires_at`,
  find: 'SELECT payload, expires_at, consumed_at FROM oidc_payloads WHERE id = $2 AND model = $1',
  findByUid: 'SELECT payload, expires_at, consumed_at FROM oidc_payloads WHERE uid = $2 AND model = $1',
  findByUserCode: 'SELECT payload, expires_at, consumed_at FROM oidc_payloads WHERE user_code = $2 AND model = $1',
  consume: 'UPDATE oidc_payloads SET consumed_at = now() WHERE id = $2 AND model = $1',
  destroy: 'DELETE FROM oidc_payloads WHERE id = $2 AND model = $1',
  revoke: 'DELETE FROM oidc_payloads WHERE grant_id = $2 AND model = $1',
};

// adapterOf returns the class that oidc-provider instantiates for each model.
export const adapterOf = (pool) => class Adapter {
  constructor(model) {
    this.model = model;
  }

  run(name, ...values) {
    return pool.query({ name, text: statements[name], values: [this.model, ...values] });
  }

  async one(name, value) {
    const { rows: [row] } = await this.run(name, value);
    if (!row || (row.expires_at && row.expires_at < Date.now())) return undefined;
    if (row.consumed_at) row.payload.consumed = Math.floor(row.consumed_at / 1000);
    return row.payload;
  }

  async upsert(id, payload, expiresIn) {
    await this.run('upsert', id, payload, payload.grantId, payload.uid, payload.userCode, expiresIn);
  }

  find(id) { return this.one('find', id); }

  findByUid(uid) { return this.one('findByUid', uid); }

  findByUserCode(code) { return this.one('findByUserCode', code); }

  async consume(id) { await this.run('consume', id); }

  async destroy(id) { await this.run('destroy', id); }

  async revokeByGrantId(grantId) { await this.run('revoke', grantId); }
};
