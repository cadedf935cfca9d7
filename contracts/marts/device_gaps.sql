-- description: Numbers of a device's epoch that no event came for, and which of them it gave up.
-- materialize: view
WITH declared AS (
  SELECT told.device_id, told.gap_epoch, told.gap_first, told.gap_last, told.reason
  FROM curated.edge_telemetry AS told
  WHERE told.kind = 'gap'
),
-- A gap has the number of the first event that is gone: there it is no event that came.
came AS (
  SELECT event.device_id, event.epoch, event.seq, event.recorded_at
  FROM curated.edge_telemetry AS event
  WHERE
    COALESCE(event.kind, 'reading') <> 'gap'
    OR event.epoch <> event.gap_epoch
    OR event.seq < event.gap_first
    OR event.seq > event.gap_last
),
last_came AS (
  SELECT device_id, epoch, MAX(seq) AS seq
  FROM came
  GROUP BY device_id, epoch
),
-- What was given up after the last event that came ends before a number of its own.
ends AS (
  SELECT declared.device_id, declared.gap_epoch AS epoch, MAX(declared.gap_last) + 1 AS seq
  FROM declared
  LEFT JOIN last_came
    ON last_came.device_id = declared.device_id
    AND last_came.epoch = declared.gap_epoch
  GROUP BY declared.device_id, declared.gap_epoch
  HAVING MAX(declared.gap_last) > COALESCE(MAX(last_came.seq), 0)
),
known AS (
  SELECT device_id, epoch, seq, recorded_at FROM came
  UNION ALL
  SELECT device_id, epoch, seq, CAST(NULL AS TIMESTAMP) AS recorded_at FROM ends
),
numbered AS (
  SELECT
    device_id,
    epoch,
    seq,
    recorded_at,
    LAG(seq) OVER (PARTITION BY device_id, epoch ORDER BY seq) AS seq_before,
    LAG(recorded_at) OVER (PARTITION BY device_id, epoch ORDER BY seq) AS recorded_before
  FROM known
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
