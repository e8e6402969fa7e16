-- The same tables under the same names on nodes that do not hold them, so that queries need not know where they are.
--
-- All of the data is in one shard, with as many replicas as you like: oot-hud tables --target cluster --cluster oot, where
-- `oot` is that shard in remote_servers. One shard is enough: docs/capacity.md has 180 GB for a thousand backends. Run
-- this on the nodes of other shards, or on nodes that only answer queries; `oot` must be known there as well:
--   clickhouse-client --queries-file deploy/clickhouse/distributed.sql
--
-- FINAL, by which every reader sees a job once, looks at each shard alone: all versions of a key must be in the same one.
-- The sharding keys see to that, should `oot` ever have more than one; the rollups and views do not, so don't.
-- Replicators, verify and tables talk to the nodes that hold the data: they delete rows and create tables, and an
-- insert through these is answered before it is durable, unless distributed_foreground_insert = 1. After an upgrade that
-- adds columns, drop these tables (they hold nothing) and run this again.
CREATE DATABASE IF NOT EXISTS oot;

CREATE TABLE IF NOT EXISTS default.oot_workflow_job
ENGINE = Distributed('oot', 'default', 'oot_workflow_job', cityHash64(dynamoKey));

CREATE TABLE IF NOT EXISTS default.oot_test_failures
ENGINE = Distributed('oot', 'default', 'oot_test_failures', cityHash64(dynamoKey));

CREATE TABLE IF NOT EXISTS default.crcr_workflow_job
ENGINE = Distributed('oot', 'default', 'crcr_workflow_job');

CREATE TABLE IF NOT EXISTS oot.backend_hours
ENGINE = Distributed('oot', 'oot', 'backend_hours');

CREATE TABLE IF NOT EXISTS oot.commit_hours
ENGINE = Distributed('oot', 'oot', 'commit_hours');

CREATE TABLE IF NOT EXISTS oot.failed_tests
ENGINE = Distributed('oot', 'oot', 'failed_tests');

CREATE TABLE IF NOT EXISTS oot.failing_tests
ENGINE = Distributed('oot', 'oot', 'failing_tests');

CREATE TABLE IF NOT EXISTS oot.readiness
ENGINE = Distributed('oot', 'oot', 'readiness');

CREATE TABLE IF NOT EXISTS oot.backend_windows
ENGINE = Distributed('oot', 'oot', 'backend_windows');

CREATE TABLE IF NOT EXISTS oot.breakers
ENGINE = Distributed('oot', 'oot', 'breakers');

CREATE TABLE IF NOT EXISTS oot.backend_names
ENGINE = Distributed('oot', 'oot', 'backend_names');

CREATE TABLE IF NOT EXISTS oot.hours_by_backend
ENGINE = Distributed('oot', 'oot', 'hours_by_backend');

CREATE TABLE IF NOT EXISTS oot.commits_by_backend
ENGINE = Distributed('oot', 'oot', 'commits_by_backend');

CREATE TABLE IF NOT EXISTS oot.failures_by_backend
ENGINE = Distributed('oot', 'oot', 'failures_by_backend');
