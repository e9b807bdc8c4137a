//! When a failed piece of work is tried again.

/// Waits between tries, in milliseconds. After the last one the work is parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(pub Vec<i64>);

impl Schedule {
    /// The wait after `attempts` tries, with ±20 % of jitter taken from `random` (0 to 1), but not
    /// less than what the other side asked for. `None`: no more tries.
    pub fn wait_ms(&self, attempts: i64, asked_ms: Option<u32>, random: f64) -> Option<i64> {
        let step = usize::try_from(attempts.max(1) - 1).ok()?;
        let base = *self.0.get(step)?;
        // The product is far below 2^53, so the cast keeps it.
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
        let jittered = (base as f64 * (0.8 + 0.4 * random.clamp(0.0, 1.0))) as i64;
        Some(jittered.max(asked_ms.map_or(0, i64::from)))
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn the_wait_grows_and_ends() {
        let schedule = Schedule(vec![1_000, 5_000]);
        assert_eq!(schedule.wait_ms(1, None, 0.5), Some(1_000));
        assert_eq!(schedule.wait_ms(2, None, 0.0), Some(4_000));
        assert_eq!(schedule.wait_ms(2, None, 1.0), Some(6_000));
        assert_eq!(schedule.wait_ms(3, None, 0.5), None);
    }

    #[test]
    fn what_the_provider_asks_for_is_a_lower_bound() {
        let schedule = Schedule(vec![1_000]);
        assert_eq!(schedule.wait_ms(1, Some(30_000), 0.5), Some(30_000));
        assert_eq!(schedule.wait_ms(1, Some(10), 0.5), Some(1_000));
    }
}
