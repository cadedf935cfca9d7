-- description: Numbers of a device's epoch that are missing between two events, and what it gave up.
-- materialize: view
WITH numbered AS (
  SELECT
    device_id,
    epoch,
    seq,
    recorded_at,
    LAG(seq) OVER (PARTITION BY device_id, epoch ORDER BY seq) AS seq_before,
    LAG(recorded_at) OVER (PARTITION BY device_id, epoch ORDER BY seq) AS recorded_before
  FROM curated.edge_telemetry
),
holes AS (
  SELECT
    device_id,
    epoch,
    COALESCE(seq_before, 0) + 1 AS first_missing,
    seq - 1 AS last_missing,
    recorded_before,
    recorded_at AS recorded_after
  FROM numbered
  WHERE seq > COALESCE(seq_before, 0) + 1
),
declared AS (
  SELECT told.device_id, told.gap_epoch, told.gap_first, told.gap_last, told.reason
  FROM curated.edge_telemetry AS told
  WHERE told.kind = 'gap'
)
SELECT
  holes.device_id,
  holes.epoch,
  holes.first_missing,
  holes.last_missing,
  holes.last_missing - holes.first_missing + 1 AS missing,
  LEAST(
    holes.last_missing - holes.first_missing + 1,
    SUM(
      CASE
        WHEN declared.gap_first IS NULL THEN 0
        ELSE
          LEAST(holes.last_missing, declared.gap_last)
          - GREATEST(holes.first_missing, declared.gap_first) + 1
      END
    )
  ) AS given_up,
  MIN(declared.reason) AS reason,
  MIN(holes.recorded_before) AS recorded_before,
  MIN(holes.recorded_after) AS recorded_after
FROM holes
LEFT JOIN declared
  ON declared.device_id = holes.device_id
  AND declared.gap_epoch = holes.epoch
  AND declared.gap_first <= holes.last_missing
  AND declared.gap_last >= holes.first_missing
GROUP BY holes.device_id, holes.epoch, holes.first_missing, holes.last_missing
