//! The bar that a line carries ready-made for clients that can only print.

use super::ProgressDetail;
use crate::decimal_size;

/// The room between the brackets of the bar, its tip included, when it isn't full.
const WIDTH: usize = 50;

/// Draws what `detail` says, as docker up to version 28 does for an output that is no terminal. Empty when there is nothing to draw.
pub(super) fn draw(detail: &ProgressDetail) -> String {
    let current = u64::try_from(detail.current).unwrap_or(0);
    let total = u64::try_from(detail.total).unwrap_or(0);
    if total == 0 {
        return match (current, detail.units.as_str()) {
            (0, _) => String::new(),
            (_, "") => format!("{:>8}", decimal_size(current, 4)),
            (_, units) => format!("{current} {units}"),
        };
    }
    // Two per cent a character, rounded down.
    let done = (u128::from(current) * 100 / u128::from(total) / 2).min(WIDTH as u128);
    let done = usize::try_from(done).unwrap_or(WIDTH);
    let mut bar = format!("[{}>{}] ", "=".repeat(done), " ".repeat(WIDTH - done));
    if detail.hide_counts {
        return bar;
    }
    if detail.units.is_empty() {
        bar += &format!("{:>8}", decimal_size(current, 4));
        // A total below what is there already is wrong, so it isn't shown.
        if current <= total {
            bar += &format!("/{}", decimal_size(total, 4));
        }
    } else {
        bar += &format!("{current}/{total} {}", detail.units);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(current: i64, total: i64) -> String {
        draw(&ProgressDetail { current, total, ..Default::default() })
    }

    #[test]
    fn bars_look_as_dockerd_sends_them() {
        assert_eq!(
            bytes(1_048_576, 3_490_290),
            "[===============>                                   ]  1.049MB/3.49MB"
        );
        assert_eq!(
            bytes(2_097_152, 3_299_369),
            "[===============================>                   ]  2.097MB/3.299MB"
        );
        assert_eq!(bytes(20_480, 20_480), "[==================================================>]  20.48kB/20.48kB");
        assert_eq!(bytes(351, 351), "[==================================================>]     351B/351B");
        assert_eq!(bytes(16_384, 700_732), "[=>                                                 ]  16.38kB/700.7kB");
        assert_eq!(bytes(32_768, 400_603), "[====>                                              ]  32.77kB/400.6kB");
    }

    #[test]
    fn without_a_total_only_the_count_is_drawn() {
        assert_eq!(bytes(0, 0), "");
        assert_eq!(bytes(0, -1), "");
        assert_eq!(bytes(1_048_576, 0), " 1.049MB");
        assert_eq!(draw(&ProgressDetail { current: 3, units: "s".into(), ..Default::default() }), "3 s");
    }

    #[test]
    fn numbers_that_make_no_sense_draw_a_full_bar_at_most() {
        assert!(bytes(30, 20).ends_with(">]      30B"));
        assert!(bytes(i64::MAX, 1).starts_with("[==================================================>]"));
        assert!(bytes(-5, 10).starts_with("[>    "));
    }
}
