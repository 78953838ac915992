-- A bulk act went on: what one more of its steps moved. $1: id  $2: how many
UPDATE audit SET count = count + $2 WHERE id = $1
