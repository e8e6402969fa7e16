-- For CRCR's saved queries; where CRCR's own table exists, it stays. FINAL stands inside: on a view it is ignored.
CREATE VIEW IF NOT EXISTS default.crcr_workflow_job${on_cluster}
AS SELECT *, _inserted_at, repository_full_name, duration_seconds
FROM default.oot_workflow_job FINAL
