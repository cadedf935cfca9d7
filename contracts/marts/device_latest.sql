-- description: The latest reading of each device, and how many events of its epoch have arrived.
-- materialize: view
WITH told AS (
  SELECT
    device_id,
    epoch,
    seq,
    recorded_at,
    temperature,
    humidity,
    pressure,
    battery,
    rssi,
    alarm,
    firmware,
    kind,
    -- A gap has the number of the first event that is gone: there it is no event that came.
    CASE
      WHEN kind = 'gap' AND epoch = gap_epoch AND seq BETWEEN gap_first AND gap_last THEN 0
      ELSE 1
    END AS came
  FROM curated.edge_telemetry
),
ranked AS (
  SELECT
    told.*,
    kind IS NULL OR kind = 'reading' AS is_reading,
    SUM(came) OVER (PARTITION BY device_id, epoch) AS readings,
    MAX(came * seq) OVER (PARTITION BY device_id, epoch) AS last_seq,
    ROW_NUMBER() OVER (
      PARTITION BY device_id, kind IS NULL OR kind = 'reading'
      ORDER BY recorded_at DESC, seq DESC, epoch
    ) AS place
  FROM told
)
SELECT
  device_id,
  epoch,
  seq,
  recorded_at,
  temperature,
  humidity,
  pressure,
  battery,
  rssi,
  alarm,
  firmware,
  readings,
  last_seq - readings AS missing
FROM ranked
WHERE place = 1 AND is_reading
