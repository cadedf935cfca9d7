-- description: Flights per carrier and local day: how many left, how many were cancelled, how late.
-- materialize: table
SELECT
  carrier,
  year,
  month,
  day,
  COUNT(*) AS flights,
  COUNTIF(dep_time IS NULL) AS cancelled,
  COUNTIF(arr_delay > 15) AS late,
  AVG(dep_delay) AS dep_delay_mean,
  AVG(arr_delay) AS arr_delay_mean,
  SUM(distance) AS miles
FROM curated.flights
GROUP BY carrier, year, month, day
