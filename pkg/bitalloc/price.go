package bitalloc

import (
	"math"
	"slices"
)

// priceOf is the smallest price of a byte at which the choice that is best part by part fits into the budget.
func priceOf(parts [][]Option, useful [][]int, budget int64) float64 {
	prices := []float64{0}
	for i, list := range useful {
		for a := range list {
			for _, j := range list[a+1:] {
				small, large := parts[i][list[a]], parts[i][j]
				prices = append(prices, (small.Damage-large.Damage)/float64(large.Bytes-small.Bytes))
			}
		}
	}
	slices.Sort(prices)
	prices = slices.Compact(prices)
	// Above the largest price everything is smallest, which fits. Rounding may leave an option at its own price: a price
	// between two will do as well, only the bound is a little looser.
	prices = append(prices, 2*prices[len(prices)-1]+1)
	lo, hi := 0, len(prices)-1
	for lo < hi {
		mid := (lo + hi) / 2
		if sum(parts, atPrice(parts, useful, prices[mid])).Bytes <= budget {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return prices[lo]
}

// atPrice is the choice of least damage + price*bytes, of equal ones that of the fewest bytes.
func atPrice(parts [][]Option, useful [][]int, price float64) []int {
	choice := make([]int, len(parts))
	for i, list := range useful {
		least := math.Inf(1)
		for _, j := range list {
			if v := parts[i][j].Damage + price*float64(parts[i][j].Bytes); v < least {
				least, choice[i] = v, j
			}
		}
	}
	return choice
}

// spend improves a choice that fits: again and again the option that takes most damage off for its bytes and still fits.
func spend(parts [][]Option, useful [][]int, choice []int, budget int64) Allocation {
	left := budget - sum(parts, choice).Bytes
	for {
		part, option, most := -1, 0, 0.0
		for i, list := range useful {
			have := parts[i][choice[i]]
			for _, j := range list {
				o := parts[i][j]
				if more := o.Bytes - have.Bytes; more > 0 && more <= left {
					if gain := (have.Damage - o.Damage) / float64(more); gain > most {
						part, option, most = i, j, gain
					}
				}
			}
		}
		if part < 0 {
			return sum(parts, choice)
		}
		left -= parts[part][option].Bytes - parts[part][choice[part]].Bytes
		choice[part] = option
	}
}

// sum is a choice with its bytes and its damage.
func sum(parts [][]Option, choice []int) Allocation {
	a := Allocation{Choice: choice}
	for i, j := range choice {
		a.Bytes += parts[i][j].Bytes
		a.Damage += parts[i][j].Damage
	}
	return a
}
