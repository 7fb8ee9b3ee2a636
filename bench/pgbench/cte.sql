-- One order's life: seven transactions, one statement each. 18 inserts, 6 updates.
\set n random(1, 1000000000000000)
\set sku random(1, 100)
WITH o AS (INSERT INTO orders VALUES ('ord_' || :n, 'usr_1', 0, 100, now(), now())),
     i AS (INSERT INTO order_items VALUES ('ord_' || :n, 1, 'SKU-' || lpad((:sku)::text, 3, '0'), 1, 100))
INSERT INTO outbox (id, aggregate_id, event_type, payload, topic, created_at) VALUES (gen_random_uuid()::text, 'ord_' || :n, 'OrderCreated', '{"eventId": "0198c0de-7000-7000-8000-000000000001","type": "OrderCreated","occurredAt": 1767225600,"data": {"orderId": "ord_01","userId": "usr_1","sku": "SKU-001","qty": 1,"price": 100}}', 'order.events', now());
WITH fresh AS (INSERT INTO inbox VALUES ('saga_order_created', :n || '-OrderCreated', now()) ON CONFLICT DO NOTHING RETURNING 1),
     a AS (INSERT INTO sagas SELECT 'ord_' || :n, 1, now() FROM fresh ON CONFLICT DO NOTHING)
UPDATE orders SET status = greatest(status, 1), updated_at = now() FROM fresh WHERE id = 'ord_' || :n;
WITH fresh AS (INSERT INTO inbox VALUES ('capture_payment', :n || '-OrderCreated', now()) ON CONFLICT DO NOTHING RETURNING 1),
     a AS (INSERT INTO payments SELECT 'ord_' || :n, 100, now() FROM fresh)
INSERT INTO outbox (id, aggregate_id, event_type, payload, topic, created_at) SELECT gen_random_uuid()::text, 'ord_' || :n, 'PaymentSucceeded', '{"eventId": "0198c0de-7000-7000-8000-000000000001","type": "PaymentSucceeded","occurredAt": 1767225600,"data": {"orderId": "ord_01","userId": "usr_1","sku": "SKU-001","qty": 1,"price": 100}}', 'payment.events', now() FROM fresh;
WITH fresh AS (INSERT INTO inbox VALUES ('saga_payment_succeeded', :n || '-PaymentSucceeded', now()) ON CONFLICT DO NOTHING RETURNING 1),
     a AS (INSERT INTO order_timeline SELECT 'ord_' || :n, 'PaymentSucceeded', now() FROM fresh),
     b AS (UPDATE orders SET status = greatest(status, 2), updated_at = now() FROM fresh WHERE id = 'ord_' || :n)
UPDATE sagas SET step = greatest(step, 2), updated_at = now() FROM fresh WHERE order_id = 'ord_' || :n;
WITH fresh AS (INSERT INTO inbox VALUES ('reserve_stock', :n || '-PaymentSucceeded', now()) ON CONFLICT DO NOTHING RETURNING 1),
     a AS (INSERT INTO reservations SELECT 'ord_' || :n, 'SKU-' || lpad((:sku)::text, 3, '0'), 1, now() FROM fresh),
     b AS (UPDATE stock SET reserved = reserved + 1 FROM fresh WHERE sku = 'SKU-' || lpad((:sku)::text, 3, '0'))
INSERT INTO outbox (id, aggregate_id, event_type, payload, topic, created_at) SELECT gen_random_uuid()::text, 'ord_' || :n, 'InventoryReserved', '{"eventId": "0198c0de-7000-7000-8000-000000000001","type": "InventoryReserved","occurredAt": 1767225600,"data": {"orderId": "ord_01","userId": "usr_1","sku": "SKU-001","qty": 1,"price": 100}}', 'inventory.events', now() FROM fresh;
WITH fresh AS (INSERT INTO inbox VALUES ('saga_inventory_reserved', :n || '-InventoryReserved', now()) ON CONFLICT DO NOTHING RETURNING 1),
     a AS (INSERT INTO order_timeline SELECT 'ord_' || :n, 'OrderCompleted', now() FROM fresh),
     b AS (UPDATE orders SET status = 3, updated_at = now() FROM fresh WHERE id = 'ord_' || :n),
     c AS (UPDATE sagas SET step = 3, updated_at = now() FROM fresh WHERE order_id = 'ord_' || :n)
INSERT INTO outbox (id, aggregate_id, event_type, payload, topic, created_at) SELECT gen_random_uuid()::text, 'ord_' || :n, 'OrderCompleted', '{"eventId": "0198c0de-7000-7000-8000-000000000001","type": "OrderCompleted","occurredAt": 1767225600,"data": {"orderId": "ord_01","userId": "usr_1","sku": "SKU-001","qty": 1,"price": 100}}', 'order.events', now() FROM fresh;
WITH fresh AS (INSERT INTO inbox VALUES ('notify_customer', :n || '-OrderCompleted', now()) ON CONFLICT DO NOTHING RETURNING 1)
INSERT INTO notices SELECT 'ord_' || :n, now() FROM fresh;
