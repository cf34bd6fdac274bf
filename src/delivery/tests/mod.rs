//! What several modules of this step make together.

mod delta;
