-- description: The latest reading of each device, and how many events of its epoch have arrived.
-- materialize: view
WITH ranked AS (
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
    kind IS NULL OR kind = 'reading' AS is_reading,
    COUNT(*) OVER (PARTITION BY device_id, epoch) AS readings,
    MAX(seq) OVER (PARTITION BY device_id, epoch) AS last_seq,
    ROW_NUMBER() OVER (
      PARTITION BY device_id, kind IS NULL OR kind = 'reading'
      ORDER BY recorded_at DESC, seq DESC, epoch
    ) AS place
  FROM curated.edge_telemetry
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
