//! Tests of the decision as a whole.
