//! How activations are shown to whoever wants to look at them.

use ndarray::{ArrayBase, ArrayViewD, Data, Dimension};

/// Looks at activations as they come into being. It cannot change them, and the model does not know why it looks.
pub trait Observer {
    /// `h.3.attn.q` and its value.
    fn see(&mut self, name: &str, value: ArrayViewD<'_, f32>);
}

/// The part of the model that is being computed, and who looks at it, if anyone.
pub struct Scope<'a> {
    observer: Option<&'a mut dyn Observer>,
    prefix: String,
}

impl<'a> Scope<'a> {
    /// Nobody looks, and looking costs nothing.
    pub fn unobserved() -> Self {
        Self { observer: None, prefix: String::new() }
    }

    /// Activations are shown as `{prefix}{name}`.
    pub fn new(observer: &'a mut dyn Observer, prefix: &str) -> Self {
        Self { observer: Some(observer), prefix: prefix.to_owned() }
    }

    /// A part of this part: `within("attn.")`.
    pub fn within(&mut self, part: &str) -> Scope<'_> {
        match self.observer.as_deref_mut() {
            Some(observer) => Scope::new(observer, &format!("{}{part}", self.prefix)),
            None => Scope::unobserved(),
        }
    }

    /// Shows one activation.
    pub fn see<S: Data<Elem = f32>, D: Dimension>(&mut self, name: &str, value: &ArrayBase<S, D>) {
        if let Some(observer) = self.observer.as_deref_mut() {
            observer.see(&format!("{}{name}", self.prefix), value.view().into_dyn());
        }
    }
}
