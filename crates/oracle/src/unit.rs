//! The unit of all bounds.

/// u, the unit of all bounds.
pub const UNIT: f64 = 1.0 / (1 << 24) as f64;
/// What a flushed result costs, in units of u: 2⁻¹²⁶/u.
pub const FLUSHED: f64 = f32::MIN_POSITIVE as f64 / UNIT;
