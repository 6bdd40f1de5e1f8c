BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0007');
CREATE TABLE api_keys (
	id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	secret_hash VARCHAR NOT NULL, 
	scopes VARCHAR NOT NULL, 
	rate_count INTEGER, 
	rate_period_s FLOAT, 
	rate_until FLOAT DEFAULT '0' NOT NULL, 
	max_queued INTEGER, 
	created_at FLOAT NOT NULL, 
	revoked_at FLOAT, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
CREATE TABLE application_versions (
    version_id TEXT NOT NULL PRIMARY KEY,
    version_name TEXT NOT NULL UNIQUE,
    version_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    created_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
, "application_name" TEXT DEFAULT NULL);
CREATE TABLE batches (
	id VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	submitted_at FLOAT NOT NULL, 
	refused JSON NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE closed_callbacks (
	owner VARCHAR NOT NULL, 
	url VARCHAR NOT NULL, 
	closed_at FLOAT NOT NULL, 
	PRIMARY KEY (owner, url)
);
CREATE TABLE dbos_migrations (version INTEGER NOT NULL PRIMARY KEY);
INSERT INTO "dbos_migrations" VALUES(125);
CREATE TABLE deliveries (
	id VARCHAR NOT NULL, 
	job_id VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	url VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	body TEXT NOT NULL, 
	status VARCHAR NOT NULL, 
	tries INTEGER NOT NULL, 
	created_at FLOAT NOT NULL, 
	next_at FLOAT, receiver VARCHAR DEFAULT '' NOT NULL, waits_since FLOAT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
CREATE TABLE delivery_attempts (
	delivery_id VARCHAR NOT NULL, 
	at FLOAT NOT NULL, 
	duration_s FLOAT NOT NULL, 
	http_status INTEGER, 
	error VARCHAR, 
	PRIMARY KEY (delivery_id, at), 
	FOREIGN KEY(delivery_id) REFERENCES deliveries (id) ON DELETE CASCADE
);
CREATE TABLE events (
	job_id VARCHAR NOT NULL, 
	seq INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	data JSON NOT NULL, 
	PRIMARY KEY (job_id, seq), 
	FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "events" VALUES('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',1,'stage','{"status": "running", "stage": "summary", "progress": 0}');
INSERT INTO "events" VALUES('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',2,'done','{"status": "done", "stage": "summary", "progress": 1, "error": null, "error_code": null}');
CREATE TABLE figures (
	figure VARCHAR NOT NULL, 
	label VARCHAR NOT NULL, 
	bucket VARCHAR NOT NULL, 
	count BIGINT NOT NULL, 
	total FLOAT NOT NULL, 
	PRIMARY KEY (figure, label, bucket)
);
CREATE TABLE idempotency_keys (
	owner VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	answer_id VARCHAR NOT NULL, 
	created_at FLOAT NOT NULL, 
	PRIMARY KEY (owner, "key")
);
CREATE TABLE "jobs" (
	id VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	request JSON NOT NULL, 
	source VARCHAR NOT NULL, 
	submitted_at FLOAT NOT NULL, 
	updated_at FLOAT NOT NULL, 
	started_at FLOAT, 
	finished_at FLOAT, 
	stage VARCHAR, 
	stage_attempts INTEGER NOT NULL, 
	worker VARCHAR, 
	error TEXT, 
	watermark VARCHAR, owner VARCHAR DEFAULT '' NOT NULL, queue VARCHAR DEFAULT 'heavy' NOT NULL, priority INTEGER DEFAULT '0' NOT NULL, progress FLOAT DEFAULT '0' NOT NULL, revision INTEGER DEFAULT '0' NOT NULL, error_code VARCHAR, callback_url VARCHAR, disk_bytes BIGINT DEFAULT '0' NOT NULL, batch_id VARCHAR, batch_index INTEGER, 
	PRIMARY KEY (id), 
	CONSTRAINT jobs_worker_fkey FOREIGN KEY(worker) REFERENCES workers (id) ON DELETE SET NULL
);
INSERT INTO "jobs" VALUES('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','done','{"processors": null, "include_hash_analysis": true, "include_protection": true, "enable_tineye": false, "stages": ["invisible-watermark"], "protection": {"strength": "medium", "encoder": "bundled", "preset": "default", "seed": 0, "nightshade_target": "forest", "watermark_text": "by Ada", "watermark_payload": null}, "insists": true, "origin": {"request_id": "old-a"}}','image.png',1.79600984287647938725e+09,1.79600984293265247349e+09,1.79600984291670966153e+09,1.79600984293265247349e+09,'summary',1,NULL,NULL,NULL,'','heavy',0,1.0,2,NULL,NULL,500,NULL,NULL);
INSERT INTO "jobs" VALUES('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','queued','{"processors": ["dhash"], "include_hash_analysis": true, "include_protection": true, "enable_tineye": false, "stages": ["invisible-watermark"], "protection": {"strength": "medium", "encoder": "bundled", "preset": "default", "seed": 0, "nightshade_target": "forest", "watermark_payload": "126f20d1dfda611e"}, "insists": true, "origin": {"request_id": "old-b"}}','image.png',1.7960098428895735741e+09,1.7960098428895735741e+09,NULL,NULL,NULL,0,NULL,NULL,'126f20d1dfda611e','','heavy',0,0.0,0,NULL,NULL,100,NULL,NULL);
INSERT INTO "jobs" VALUES('cccccccccccccccccccccccccccccccc','queued','{"processors": null, "include_hash_analysis": false, "include_protection": false, "enable_tineye": false, "stages": [], "protection": {"strength": "medium", "encoder": "bundled", "preset": "default", "seed": 0, "nightshade_target": "forest", "watermark_payload": "2be55b58f654039e"}, "insists": false, "origin": {"request_id": "old-c"}}','image.png',1.79600984289050316809e+09,1.79600984289050316809e+09,NULL,NULL,NULL,0,NULL,NULL,'2be55b58f654039e','','light',0,0.0,0,NULL,NULL,100,NULL,NULL);
CREATE TABLE notifications (
    message_uuid TEXT NOT NULL DEFAULT (hex(randomblob(16))) PRIMARY KEY,
    destination_uuid TEXT NOT NULL,
    topic TEXT,
    message TEXT NOT NULL,
    created_at_epoch_ms INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000), "serialization" TEXT DEFAULT NULL, "consumed" BOOLEAN NOT NULL DEFAULT FALSE, consumed_by_function_id INTEGER,
    FOREIGN KEY (destination_uuid) REFERENCES workflow_status(workflow_uuid) 
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE "operation_outputs" (
    workflow_uuid TEXT NOT NULL,
    function_id INTEGER NOT NULL,
    function_name TEXT NOT NULL DEFAULT '',
    output TEXT,
    error TEXT,
    child_workflow_id TEXT,
    started_at_epoch_ms INTEGER,
    completed_at_epoch_ms INTEGER,
    serialization TEXT,
    application_name TEXT DEFAULT NULL,
    retention_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    PRIMARY KEY (workflow_uuid, function_id)
);
CREATE TABLE processes (
	id VARCHAR NOT NULL, 
	role VARCHAR NOT NULL, 
	machine VARCHAR NOT NULL, 
	memory_bytes BIGINT NOT NULL, 
	seen_at FLOAT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE queues (
    queue_id TEXT PRIMARY KEY DEFAULT (hex(randomblob(16))),
    name TEXT NOT NULL UNIQUE,
    concurrency INTEGER,
    worker_concurrency INTEGER,
    rate_limit_max INTEGER,
    rate_limit_period_sec REAL,
    priority_enabled BOOLEAN NOT NULL DEFAULT FALSE,
    partition_queue BOOLEAN NOT NULL DEFAULT FALSE,
    polling_interval_sec REAL NOT NULL DEFAULT 1.0,
    created_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    updated_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
, "application_name" TEXT DEFAULT NULL, "partition_concurrency" INTEGER DEFAULT NULL, "partition_worker_concurrency" INTEGER DEFAULT NULL, "partition_rate_limit_max" INTEGER DEFAULT NULL, "partition_rate_limit_period_sec" REAL DEFAULT NULL);
CREATE TABLE streams (
    workflow_uuid TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    "offset" INTEGER NOT NULL, function_id INTEGER NOT NULL DEFAULT 0, "serialization" TEXT DEFAULT NULL,
    PRIMARY KEY (workflow_uuid, key, "offset"),
    FOREIGN KEY (workflow_uuid) REFERENCES workflow_status(workflow_uuid) 
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE webhook_secrets (
	owner VARCHAR NOT NULL, 
	secret VARCHAR NOT NULL, 
	PRIMARY KEY (owner)
);
CREATE TABLE workers (
	id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	beats INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "workers" VALUES('w','w',5);
CREATE TABLE workflow_events (
    workflow_uuid TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL, "serialization" TEXT DEFAULT NULL,
    PRIMARY KEY (workflow_uuid, key),
    FOREIGN KEY (workflow_uuid) REFERENCES workflow_status(workflow_uuid) 
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE workflow_events_history (
    workflow_uuid TEXT NOT NULL,
    function_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL, "serialization" TEXT DEFAULT NULL,
    PRIMARY KEY (workflow_uuid, function_id, key),
    FOREIGN KEY (workflow_uuid) REFERENCES workflow_status(workflow_uuid)
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE workflow_input (
    workflow_uuid TEXT NOT NULL PRIMARY KEY,
    inputs TEXT,
    retention_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
);
INSERT INTO "workflow_input" VALUES('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','{"namedArgs":{},"positionalArgs":["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]}',1796009842000);
INSERT INTO "workflow_input" VALUES('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','{"namedArgs":{},"positionalArgs":["bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"]}',1796009842000);
CREATE TABLE workflow_output (
    workflow_uuid TEXT NOT NULL PRIMARY KEY,
    output TEXT,
    error TEXT,
    retention_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
);
CREATE TABLE workflow_schedules (
    schedule_id TEXT PRIMARY KEY,
    schedule_name TEXT NOT NULL UNIQUE,
    workflow_name TEXT NOT NULL,
    workflow_class_name TEXT,
    schedule TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'ACTIVE',
    context TEXT NOT NULL
, "last_fired_at" TEXT DEFAULT NULL, "automatic_backfill" BOOLEAN NOT NULL DEFAULT FALSE, "cron_timezone" TEXT DEFAULT NULL, "queue_name" TEXT DEFAULT NULL, "application_name" TEXT DEFAULT NULL);
CREATE TABLE workflow_status (
    workflow_uuid TEXT PRIMARY KEY,
    status TEXT,
    name TEXT,
    authenticated_user TEXT,
    assumed_role TEXT,
    authenticated_roles TEXT,
    request TEXT,
    output TEXT,
    error TEXT,
    executor_id TEXT,
    created_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    updated_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    application_version TEXT,
    application_id TEXT,
    class_name TEXT DEFAULT NULL,
    config_name TEXT DEFAULT NULL,
    recovery_attempts INTEGER DEFAULT 0,
    queue_name TEXT,
    workflow_timeout_ms INTEGER,
    workflow_deadline_epoch_ms INTEGER,
    inputs TEXT,
    started_at_epoch_ms INTEGER,
    deduplication_id TEXT,
    priority INTEGER NOT NULL DEFAULT 0
, queue_partition_key TEXT, forked_from TEXT, "owner_xid" TEXT DEFAULT NULL, "parent_workflow_id" TEXT DEFAULT NULL, "serialization" TEXT DEFAULT NULL, "delay_until_epoch_ms" BIGINT DEFAULT NULL, "was_forked_from" BOOLEAN NOT NULL DEFAULT FALSE, "rate_limited" BOOLEAN NOT NULL DEFAULT FALSE, "completed_at" BIGINT, "attributes" TEXT, "schedule_name" TEXT, "debounce_deadline_epoch_ms" BIGINT DEFAULT NULL, "is_debounced" BOOLEAN NOT NULL DEFAULT FALSE, "application_name" TEXT DEFAULT NULL, "creator_xid" TEXT DEFAULT NULL);
INSERT INTO "workflow_status" VALUES('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','CANCELLED','run_job',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1796009842000,1796009842000,'1',NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,101,NULL,NULL,NULL,NULL,'portable_json',NULL,0,0,1796009842000,'null',NULL,NULL,0,'artscraper-gateway','f26b5e4e-4316-4b12-a62c-2a2fb8c3864c');
INSERT INTO "workflow_status" VALUES('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','ENQUEUED','run_job',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1796009842000,1796009842000,'1',NULL,NULL,NULL,0,'heavy',NULL,NULL,NULL,NULL,NULL,101,NULL,NULL,NULL,NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'artscraper-gateway','2a57012d-059a-42bd-87bf-6ebd0fee5142');
CREATE INDEX ix_jobs_watermark ON jobs (watermark);
CREATE INDEX ix_jobs_queued ON jobs (status, queue, priority, submitted_at, owner);
CREATE INDEX ix_jobs_owner ON jobs (owner, submitted_at, id);
CREATE INDEX ix_jobs_finished ON jobs (finished_at);
CREATE INDEX ix_jobs_batch_id ON jobs (batch_id);
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);
CREATE INDEX ix_deliveries_job_id ON deliveries (job_id);
CREATE INDEX ix_jobs_submitted ON jobs (submitted_at, id);
CREATE INDEX ix_deliveries_due ON deliveries (status, next_at, receiver);
CREATE INDEX workflow_status_created_at_index ON workflow_status (created_at);
CREATE INDEX idx_workflow_topic ON notifications (destination_uuid, topic);
CREATE INDEX "idx_workflow_status_delayed" ON "workflow_status" ("delay_until_epoch_ms") WHERE status = 'DELAYED';
CREATE INDEX "idx_workflow_status_forked_from" ON "workflow_status" ("forked_from") WHERE "forked_from" IS NOT NULL;
CREATE INDEX "idx_workflow_status_parent_workflow_id" ON "workflow_status" ("parent_workflow_id") WHERE "parent_workflow_id" IS NOT NULL;
CREATE UNIQUE INDEX "uq_workflow_status_dedup_id" ON "workflow_status" ("queue_name", "deduplication_id") WHERE "deduplication_id" IS NOT NULL;
CREATE INDEX "idx_workflow_status_pending" ON "workflow_status" ("created_at") WHERE "status" = 'PENDING';
CREATE INDEX "idx_workflow_status_failed" ON "workflow_status" ("status", "created_at") WHERE "status" IN ('ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED');
CREATE INDEX "idx_workflow_status_rate_limited" ON "workflow_status" ("queue_name", "started_at_epoch_ms") WHERE "rate_limited" = TRUE;
CREATE INDEX "idx_workflow_status_completed_at" ON "workflow_status" ("completed_at") WHERE "completed_at" IS NOT NULL;
CREATE INDEX "idx_workflow_status_started_at" ON "workflow_status" ("started_at_epoch_ms") WHERE "started_at_epoch_ms" IS NOT NULL;
CREATE INDEX "idx_workflow_status_schedule_name" ON "workflow_status" ("schedule_name") WHERE "schedule_name" IS NOT NULL;
CREATE UNIQUE INDEX "uq_application_versions_owner_version"
    ON application_versions ("application_name", "version_name")
    WHERE "application_name" IS NOT NULL;
CREATE UNIQUE INDEX "uq_application_versions_unclaimed_version"
    ON application_versions ("version_name")
    WHERE "application_name" IS NULL;
CREATE INDEX idx_workflow_input_retention
    ON workflow_input (retention_timestamp);
CREATE INDEX idx_workflow_output_retention
    ON workflow_output (retention_timestamp);
CREATE INDEX idx_operation_outputs_retention
    ON operation_outputs (retention_timestamp);
CREATE INDEX "idx_workflow_status_in_flight_v2" ON "workflow_status" ("queue_name", "status", "priority", "created_at", "application_name") WHERE "status" IN ('ENQUEUED', 'PENDING');
CREATE INDEX "idx_workflow_status_partition_dequeue_v3" ON "workflow_status" ("queue_name", "status", "queue_partition_key", "priority", "created_at", "workflow_uuid", "application_name") WHERE "status" IN ('ENQUEUED', 'PENDING') AND "queue_partition_key" IS NOT NULL;
CREATE INDEX "idx_operation_outputs_completed_at_function_name_v2" ON "operation_outputs" ("completed_at_epoch_ms", "function_name", "application_name");
CREATE INDEX "idx_workflow_status_deadline" ON "workflow_status" ("workflow_deadline_epoch_ms") WHERE "status" IN ('ENQUEUED', 'PENDING', 'DELAYED') AND "workflow_deadline_epoch_ms" IS NOT NULL;
CREATE INDEX "idx_application_versions_timestamp" ON "application_versions" ("version_timestamp" DESC);
CREATE INDEX "idx_application_versions_owner_timestamp" ON "application_versions" ("application_name", "version_timestamp" DESC);
COMMIT;
