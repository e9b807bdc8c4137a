-- One text for SQLite and PostgreSQL. {{id}} is a generated integer key, {{bytes}} a byte string.
-- Times are milliseconds since 1970 (UTC), booleans 0 or 1, JSON is text, enums are text. Keys
-- begin with the account wherever a row belongs to one.

-- Counts every change of what requests are served with: plugins, connections, secrets, grants,
-- inboxes. Hosts that share the database compare it with the number of their snapshot.
CREATE TABLE host (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    generation BIGINT NOT NULL
);
INSERT INTO host (id, generation) VALUES (1, 1);

CREATE TABLE account (
    id {{id}},
    name TEXT NOT NULL,
    last_event BIGINT NOT NULL DEFAULT 0,
    last_ticket BIGINT NOT NULL DEFAULT 0,
    inbound_status_id BIGINT,
    created_at BIGINT NOT NULL
);

CREATE TABLE app_user (
    id {{id}},
    account_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('administrator', 'agent')),
    operator BIGINT NOT NULL DEFAULT 0 CHECK (operator IN (0, 1)),
    created_at BIGINT NOT NULL,
    UNIQUE (account_id, email)
);

CREATE TABLE token (
    id {{id}},
    account_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    label TEXT NOT NULL,
    hash {{bytes}} NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX token_account ON token (account_id, id);

CREATE TABLE status (
    id {{id}},
    account_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    category TEXT NOT NULL CHECK (category IN ('open', 'pending', 'snoozed', 'resolved')),
    position BIGINT NOT NULL,
    is_default BIGINT NOT NULL CHECK (is_default IN (0, 1)),
    UNIQUE (account_id, name)
);

-- An accepted component. Its bytes are a blob under the same digest.
CREATE TABLE component (
    digest TEXT PRIMARY KEY,
    publisher TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    size BIGINT NOT NULL,
    installed_at BIGINT NOT NULL,
    UNIQUE (publisher, name, version)
);

-- The component that serves a plugin's new calls, and the keys that the plugin holds.
CREATE TABLE plugin (
    publisher TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    channel_key TEXT UNIQUE,
    integration_key TEXT UNIQUE,
    hold_unverified BIGINT NOT NULL DEFAULT 0 CHECK (hold_unverified IN (0, 1)),
    activated_at BIGINT NOT NULL,
    PRIMARY KEY (publisher, name)
);

CREATE TABLE connection (
    id {{id}},
    account_id BIGINT NOT NULL,
    integration TEXT NOT NULL,
    label TEXT NOT NULL,
    settings TEXT NOT NULL,
    enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    unauthorized_count BIGINT NOT NULL DEFAULT 0,
    paused_reason TEXT,
    verified_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX connection_account ON connection (account_id, id);
CREATE INDEX connection_integration ON connection (integration);

CREATE TABLE secret (
    account_id BIGINT NOT NULL,
    connection_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    sealed {{bytes}} NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, connection_id, name)
);

CREATE TABLE connection_grant (
    account_id BIGINT NOT NULL,
    connection_id BIGINT NOT NULL,
    capability TEXT NOT NULL CHECK (capability IN ('http', 'secret', 'kv', 'blobs')),
    scope TEXT NOT NULL,
    granted_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, connection_id, capability, scope)
);

CREATE TABLE inbox (
    id {{id}},
    account_id BIGINT NOT NULL,
    connection_id BIGINT NOT NULL UNIQUE,
    channel TEXT NOT NULL,
    name TEXT NOT NULL,
    settings TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX inbox_account ON inbox (account_id, id);

CREATE TABLE contact (
    id {{id}},
    account_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    email TEXT,
    phone TEXT,
    avatar_url TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX contact_account ON contact (account_id, id);

CREATE TABLE contact_inbox (
    account_id BIGINT NOT NULL,
    inbox_id BIGINT NOT NULL,
    source_id TEXT NOT NULL,
    contact_id BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, inbox_id, source_id)
);

CREATE TABLE ticket (
    account_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('conversation', 'task')),
    subject TEXT NOT NULL,
    body TEXT,
    status_id BIGINT NOT NULL,
    is_open BIGINT NOT NULL CHECK (is_open IN (0, 1)),
    priority TEXT CHECK (priority IN ('urgent', 'high', 'medium', 'low')),
    tags TEXT NOT NULL,
    assignee_id BIGINT,
    contact_id BIGINT,
    inbox_id BIGINT,
    source_id TEXT,
    channel TEXT,
    origin TEXT NOT NULL,
    thread_key TEXT,
    thread TEXT NOT NULL,
    fields TEXT NOT NULL,
    preview TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_message_at BIGINT,
    last_incoming_at BIGINT,
    PRIMARY KEY (account_id, number),
    CHECK ((kind = 'conversation') = (inbox_id IS NOT NULL)),
    CHECK ((kind = 'conversation') = (contact_id IS NOT NULL)),
    CHECK ((kind = 'conversation') = (channel IS NOT NULL))
);
CREATE UNIQUE INDEX ticket_open_thread ON ticket (account_id, inbox_id, thread_key)
    WHERE is_open = 1 AND thread_key IS NOT NULL;
CREATE INDEX ticket_thread ON ticket (account_id, inbox_id, thread_key, number);
CREATE INDEX ticket_contact ON ticket (account_id, contact_id, number);
CREATE INDEX ticket_status ON ticket (account_id, status_id, number);
CREATE INDEX ticket_assignee ON ticket (account_id, assignee_id, number);

-- The tags of `ticket.tags` once more, one row each, to find tickets by.
CREATE TABLE ticket_tag (
    account_id BIGINT NOT NULL,
    tag TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (account_id, tag, number)
);

CREATE TABLE message (
    id {{id}},
    account_id BIGINT NOT NULL,
    ticket BIGINT NOT NULL,
    inbox_id BIGINT,
    direction TEXT NOT NULL CHECK (direction IN ('incoming', 'outgoing')),
    private BIGINT NOT NULL CHECK (private IN (0, 1)),
    body TEXT NOT NULL,
    author_type TEXT NOT NULL CHECK (author_type IN ('contact', 'user', 'plugin', 'system')),
    author_id BIGINT,
    author_name TEXT NOT NULL,
    author_plugin TEXT,
    external_id TEXT,
    state TEXT NOT NULL CHECK (state IN ('received', 'pending', 'queued', 'sent', 'delivered',
        'read', 'complained', 'bounced', 'failed', 'ambiguous')),
    state_detail TEXT,
    reactions TEXT NOT NULL,
    sent_at BIGINT,
    created_at BIGINT NOT NULL,
    edited_at BIGINT,
    deleted_at BIGINT
);
CREATE UNIQUE INDEX message_external ON message (account_id, inbox_id, external_id)
    WHERE external_id IS NOT NULL;
CREATE INDEX message_ticket ON message (account_id, ticket, id);

-- A file beside a message. `remote` is the integration's own reference until the bytes are a blob.
CREATE TABLE attachment (
    id {{id}},
    account_id BIGINT NOT NULL,
    connection_id BIGINT NOT NULL,
    message_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    byte_size BIGINT,
    remote TEXT,
    blob TEXT,
    state TEXT NOT NULL CHECK (state IN ('pending', 'working', 'stored', 'dead')),
    reason TEXT,
    attempts BIGINT NOT NULL DEFAULT 0,
    run_at BIGINT NOT NULL,
    claim_id TEXT,
    lease_until BIGINT,
    finished_at BIGINT
);
CREATE INDEX attachment_message ON attachment (account_id, message_id);
CREATE INDEX attachment_work ON attachment (run_at, id) WHERE state IN ('pending', 'working');

-- Content under its SHA-256. With SQLite the bytes are files; with PostgreSQL they are chunks.
CREATE TABLE blob (
    account_id BIGINT NOT NULL,
    digest TEXT NOT NULL,
    size BIGINT NOT NULL,
    name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, digest)
);
CREATE TABLE blob_chunk (
    digest TEXT NOT NULL,
    position BIGINT NOT NULL,
    bytes {{bytes}} NOT NULL,
    PRIMARY KEY (digest, position)
);

-- Scratch memory of plugins. The scope is `c` and a connection's id, or `i` and an inbox's.
CREATE TABLE kv (
    account_id BIGINT NOT NULL,
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    value {{bytes}} NOT NULL,
    expires_at BIGINT,
    PRIMARY KEY (account_id, scope, key)
);
CREATE INDEX kv_expiry ON kv (expires_at) WHERE expires_at IS NOT NULL;

-- The durable row of one raw incoming request. An empty lane is the whole connection. A held one
-- waits for a plugin that can verify it; `fault_release` is the component that could not.
CREATE TABLE intake (
    id {{id}},
    account_id BIGINT NOT NULL,
    connection_id BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'working', 'held', 'done', 'dead')),
    verified BIGINT NOT NULL CHECK (verified IN (0, 1)),
    fault_release TEXT,
    lane TEXT NOT NULL,
    request_id TEXT,
    source TEXT NOT NULL,
    method TEXT NOT NULL,
    url TEXT NOT NULL,
    path TEXT NOT NULL,
    headers TEXT NOT NULL,
    body {{bytes}},
    body_blob TEXT,
    body_size BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    run_at BIGINT NOT NULL,
    claim_id TEXT,
    lease_until BIGINT,
    reason TEXT,
    log TEXT,
    finished_at BIGINT
);
CREATE UNIQUE INDEX intake_request ON intake (account_id, connection_id, request_id)
    WHERE request_id IS NOT NULL;
CREATE INDEX intake_lane ON intake (account_id, connection_id, lane, id)
    WHERE state IN ('pending', 'working');
CREATE INDEX intake_held ON intake (account_id, connection_id, id) WHERE state = 'held';
CREATE INDEX intake_state ON intake (account_id, state, id);
CREATE INDEX intake_finished ON intake (finished_at) WHERE finished_at IS NOT NULL;

-- The obligation to hand one message to its provider.
CREATE TABLE delivery (
    id {{id}},
    account_id BIGINT NOT NULL,
    connection_id BIGINT NOT NULL,
    inbox_id BIGINT NOT NULL,
    ticket BIGINT NOT NULL,
    message_id BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'working', 'sent', 'failed', 'ambiguous')),
    composed BIGINT NOT NULL DEFAULT 0 CHECK (composed IN (0, 1)),
    reason TEXT,
    attempts BIGINT NOT NULL DEFAULT 0,
    run_at BIGINT NOT NULL,
    claim_id TEXT,
    lease_until BIGINT,
    created_at BIGINT NOT NULL,
    finished_at BIGINT
);
CREATE INDEX delivery_ticket ON delivery (account_id, ticket, id)
    WHERE state IN ('pending', 'working');
CREATE INDEX delivery_state ON delivery (account_id, state, id);
CREATE INDEX delivery_message ON delivery (account_id, message_id);

-- One piece of a delivery: one call of `send`, stored before the first one is made.
CREATE TABLE part (
    account_id BIGINT NOT NULL,
    delivery_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    content TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'queued', 'sent', 'delivered', 'read',
        'complained', 'bounced', 'failed', 'ambiguous')),
    external_id TEXT,
    reason TEXT,
    PRIMARY KEY (account_id, delivery_id, number)
);

-- One try of a part, written before the request leaves.
CREATE TABLE attempt (
    id {{id}},
    account_id BIGINT NOT NULL,
    delivery_id BIGINT NOT NULL,
    part BIGINT NOT NULL,
    number BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    finished_at BIGINT,
    outcome TEXT CHECK (outcome IN ('sent', 'retry', 'permanent', 'unauthorized', 'ambiguous')),
    detail TEXT
);
CREATE INDEX attempt_delivery ON attempt (account_id, delivery_id, part, number);

-- The log. Numbers are given by the last statement before the commit.
CREATE TABLE event (
    account_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    payload TEXT NOT NULL,
    PRIMARY KEY (account_id, number)
);
