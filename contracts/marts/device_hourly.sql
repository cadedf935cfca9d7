-- description: Readings per device and hour: means, extremes and alarms.
-- materialize: view
SELECT
  device_id,
  TIMESTAMP_TRUNC(recorded_at, HOUR) AS hour,
  COUNT(*) AS readings,
  AVG(temperature) AS temperature_mean,
  MIN(temperature) AS temperature_min,
  MAX(temperature) AS temperature_max,
  AVG(humidity) AS humidity_mean,
  AVG(pressure) AS pressure_mean,
  MIN(battery) AS battery_min,
  MIN(rssi) AS rssi_min,
  COUNTIF(alarm) AS alarms
FROM curated.edge_telemetry
WHERE kind IS NULL OR kind = 'reading'
GROUP BY device_id, TIMESTAMP_TRUNC(recorded_at, HOUR)
