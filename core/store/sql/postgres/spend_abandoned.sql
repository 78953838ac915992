-- A message that ends outside an attempt and still has a credential had it kept after an ambiguous try: it may have
-- been used, so it is never given to another. $1: [message id, …]
UPDATE credential
SET uses_left = uses_left - 1, bound_to = NULL
WHERE bound_to = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($1::json)))
RETURNING recipient, uses_left
