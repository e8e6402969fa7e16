-- What the relay vouches for beside the dispatch: the commit, the repo behind a name, and results that it refused.
ALTER TABLE default.oot_workflow_job${on_cluster} ADD COLUMN IF NOT EXISTS `commit_verified` Bool DEFAULT false COMMENT 'Of a nightly: the upstream has the commit' AFTER `dispatch_verified`;

ALTER TABLE default.oot_workflow_job${on_cluster} ADD COLUMN IF NOT EXISTS `repository_id` String DEFAULT '' COMMENT 'Immutable id behind downstream_repo, from the OIDC token' AFTER `origin`;

ALTER TABLE default.oot_workflow_job${on_cluster} ADD COLUMN IF NOT EXISTS `conflicts` String DEFAULT '' COMMENT 'JSON list of other completions of this job that were refused: conclusion and digest' AFTER `repository_id`;

ALTER TABLE default.oot_workflow_job${on_cluster} COMMENT COLUMN IF EXISTS `dispatch_verified` 'PR and SHA come from the dispatch record'
