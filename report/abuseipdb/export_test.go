package abuseipdb

// Cell is for tests of what no comment has, being made of typed fields: quotes, backslashes, formulas.
var Cell = cell
