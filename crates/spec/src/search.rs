//! The search of the neighbor class of an input (paper, section 3.2 and Algorithm 1).

use serde::{Deserialize, Serialize};

use crate::attack::Pgd;
use crate::choice::choices;

/// How to look for the neighbor class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeighborSearch {
    /// The attack away from the original class (equation 3). Its box is around the input as it arrived, not around the
    /// natural image, which the defender does not know.
    pub attack: Pgd,
    /// Away from the original class, or towards each other class.
    pub method: SearchMethod,
}

choices! {
    /// Section 4.7 of the paper.
    pub enum SearchMethod: "search" {
        /// One attack away from the original class
        Untargeted = "untargeted",
        /// An attack towards each other class; the one that ends with the lowest cross-entropy to its target counts
        Targeted = "targeted",
    }
}
