//! Golden texts of every state.
