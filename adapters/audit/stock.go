package audit

import "millrace/app/audit"

// stock: what is set aside of a SKU is what orders hold of it, and never more than is there.
func (p *pass) stock() error {
	f := p.found.of(audit.StockConserved)
	levels, err := p.inventory.count("SELECT count(*) FROM stock")
	if err != nil {
		return err
	}
	f.checked += levels
	wrong, err := rows[struct {
		SKU      string `db:"sku"`
		OnHand   *int64 `db:"on_hand"`
		Reserved int64  `db:"reserved"`
		Held     int64  `db:"held"`
	}](p.inventory, `WITH held AS MATERIALIZED (
			SELECT e.value ->> 'sku' AS sku, CAST(sum(CAST(e.value ->> 'qty' AS BIGINT)) AS BIGINT) AS qty
			FROM reservations r, {each r.lines} WHERE r.state = 'held' GROUP BY e.value ->> 'sku')
		SELECT s.sku, s.on_hand, s.reserved, coalesce(h.qty, 0) AS held FROM stock s LEFT JOIN held h ON h.sku = s.sku
			WHERE s.reserved <> coalesce(h.qty, 0) OR s.reserved > s.on_hand OR s.on_hand < 0
		UNION ALL
		SELECT h.sku, NULL, 0, h.qty FROM held h LEFT JOIN stock s ON s.sku = h.sku WHERE s.sku IS NULL`)
	if err != nil {
		return err
	}
	for _, w := range wrong {
		switch {
		case w.OnHand == nil:
			f.broken(w.SKU, "orders hold %d, but there is no such stock", w.Held)
		case w.Reserved != w.Held:
			f.broken(w.SKU, "%d are reserved, the orders hold %d", w.Reserved, w.Held)
		default:
			f.broken(w.SKU, "%d are reserved of %d on hand", w.Reserved, *w.OnHand)
		}
	}
	return nil
}
