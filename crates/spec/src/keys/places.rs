//! Where in a [`Setup`] the values of settings are that not every setup has.

use crate::attack::{Attack, Cw, DeepFool, Loss, Pgd, Square};
use crate::post_train::{Direction, Perturbation};
use crate::setup::Setup;

pub(super) fn pgd(setup: &mut Setup) -> Option<&mut Pgd> {
    if let Attack::Pgd(pgd) = setup.attack.as_mut()? { Some(pgd) } else { None }
}

pub(super) fn square(setup: &mut Setup) -> Option<&mut Square> {
    if let Attack::Square(square) = setup.attack.as_mut()? { Some(square) } else { None }
}

pub(super) fn cw(setup: &mut Setup) -> Option<&mut Cw> {
    if let Attack::Cw(cw) = setup.attack.as_mut()? { Some(cw) } else { None }
}

pub(super) fn deep_fool(setup: &mut Setup) -> Option<&mut DeepFool> {
    if let Attack::DeepFool(deep_fool) = setup.attack.as_mut()? { Some(deep_fool) } else { None }
}

pub(super) fn steps(setup: &mut Setup) -> Option<&mut usize> {
    Some(match setup.attack.as_mut()? {
        Attack::Pgd(attack) => &mut attack.steps,
        Attack::Apgd(attack) => &mut attack.steps,
        Attack::Fab(attack) => &mut attack.steps,
        Attack::Auto(attack) => &mut attack.steps,
        Attack::Cw(attack) => &mut attack.steps,
        Attack::DeepFool(attack) => &mut attack.steps,
        Attack::Square(_) => return None,
    })
}

pub(super) fn restarts(setup: &mut Setup) -> Option<&mut usize> {
    match setup.attack.as_mut()? {
        Attack::Pgd(attack) => Some(&mut attack.restarts),
        Attack::Apgd(attack) => Some(&mut attack.restarts),
        Attack::Square(attack) => Some(&mut attack.restarts),
        Attack::Fab(_) | Attack::Auto(_) | Attack::Cw(_) | Attack::DeepFool(_) => None,
    }
}

pub(super) fn loss(setup: &mut Setup) -> Option<&mut Loss> {
    match setup.attack.as_mut()? {
        Attack::Pgd(attack) => Some(&mut attack.loss),
        Attack::Apgd(attack) => Some(&mut attack.loss),
        _ => None,
    }
}

pub(super) fn targets(setup: &mut Setup) -> Option<&mut usize> {
    match setup.attack.as_mut()? {
        Attack::Apgd(attack) if attack.targets > 0 => Some(&mut attack.targets),
        Attack::Fab(attack) => Some(&mut attack.targets),
        Attack::Auto(attack) => Some(&mut attack.targets),
        _ => None,
    }
}

pub(super) fn queries(setup: &mut Setup) -> Option<&mut usize> {
    match setup.attack.as_mut()? {
        Attack::Square(attack) => Some(&mut attack.queries),
        Attack::Auto(attack) => Some(&mut attack.queries),
        _ => None,
    }
}

pub(super) fn direction(setup: &mut Setup) -> Option<&mut Direction> {
    match &mut setup.riposte.as_mut()?.perturbation {
        Perturbation::Fixed(direction) => Some(direction),
        Perturbation::Fast { .. } | Perturbation::Pgd { .. } | Perturbation::Normal => None,
    }
}

pub(super) fn post_epsilon(setup: &mut Setup) -> Option<&mut f32> {
    match &mut setup.riposte.as_mut()?.perturbation {
        Perturbation::Fast { epsilon, .. } | Perturbation::Pgd { epsilon, .. } => Some(epsilon),
        Perturbation::Fixed(_) | Perturbation::Normal => None,
    }
}

pub(super) fn post_step_size(setup: &mut Setup) -> Option<&mut f32> {
    match &mut setup.riposte.as_mut()?.perturbation {
        Perturbation::Fast { step_size, .. } | Perturbation::Pgd { step_size, .. } => Some(step_size),
        Perturbation::Fixed(_) | Perturbation::Normal => None,
    }
}

pub(super) fn post_steps(setup: &mut Setup) -> Option<&mut usize> {
    match &mut setup.riposte.as_mut()?.perturbation {
        Perturbation::Pgd { steps, .. } => Some(steps),
        Perturbation::Fixed(_) | Perturbation::Fast { .. } | Perturbation::Normal => None,
    }
}

pub(super) fn counter_steps(setup: &mut Setup) -> Option<&mut usize> {
    setup.counter.as_mut().filter(|counter| counter.kind.uses_steps()).map(|counter| &mut counter.steps)
}

pub(super) fn counter_rounds(setup: &mut Setup) -> Option<&mut usize> {
    setup.counter.as_mut().filter(|counter| counter.kind.uses_rounds()).map(|counter| &mut counter.rounds)
}

pub(super) fn counter_queries(setup: &mut Setup) -> Option<&mut usize> {
    setup.counter.as_mut().filter(|counter| counter.kind.uses_queries()).map(|counter| &mut counter.queries)
}
