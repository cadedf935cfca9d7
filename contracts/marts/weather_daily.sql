-- description: Weather per airport and local day: temperatures, rain, wind and how complete the day is.
-- materialize: table
SELECT
  origin,
  year,
  month,
  day,
  COUNT(*) AS hours,
  AVG(temp) AS temp_mean,
  MIN(temp) AS temp_min,
  MAX(temp) AS temp_max,
  AVG(humid) AS humid_mean,
  SUM(precip) AS precip_total,
  MAX(wind_speed) AS wind_speed_max,
  MIN(visib) AS visib_min
FROM curated.weather
GROUP BY origin, year, month, day
