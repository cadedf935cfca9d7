-- description: Sales per city, class, currency and month; holds no name and no address.
-- materialize: table
SELECT
  city,
  property_class,
  currency,
  CAST(DATE_TRUNC(sale_date, MONTH) AS DATE) AS month,
  COUNT(*) AS sales,
  SUM(sale_price) AS sale_price_total,
  MIN(sale_price) AS sale_price_min,
  MAX(sale_price) AS sale_price_max,
  SUM(assessed_value) AS assessed_value_total
FROM curated.parcels
GROUP BY city, property_class, currency, CAST(DATE_TRUNC(sale_date, MONTH) AS DATE)
