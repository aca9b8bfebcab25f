//! Llama and its relatives once more, in plain loops over f64 and from config.json alone: nothing of the graph, the oracle or the
//! specs is used here but the numbers of the weights.

use std::collections::BTreeMap;

use serde_json::Value;

pub(crate) type Matrix = Vec<Vec<f64>>;

/// A model: its configuration, and its weights by Hugging Face's names without `model.`.
pub(crate) struct Plain<'a> {
    pub(crate) config: &'a Value,
    pub(crate) weights: &'a BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Plain<'_> {
    fn size(&self, name: &str) -> usize {
        self.config[name].as_u64().unwrap() as usize
    }

    fn heads(&self) -> [usize; 3] {
        let heads = self.size("num_attention_heads");
        let width = self.config.get("head_dim").and_then(Value::as_u64);
        let width = width.map_or(self.size("hidden_size") / heads, |width| width as usize);
        [heads, self.size("num_key_value_heads"), width]
    }

    fn vector(&self, name: &str) -> Option<Vec<f64>> {
        self.weights.get(name).map(|(_, values)| values.iter().copied().map(f64::from).collect())
    }

    /// x·Wᵀ + b
    fn linear(&self, x: &Matrix, name: &str) -> Matrix {
        let weight = self.vector(&format!("{name}.weight")).unwrap();
        let bias = self.vector(&format!("{name}.bias"));
        let row = |x: &Vec<f64>| {
            let products = weight.chunks(x.len()).map(|w| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>());
            let biases = bias.clone().unwrap_or_else(|| vec![0.0; weight.len() / x.len()]);
            products.zip(biases).map(|(y, b)| y + b).collect()
        };
        x.iter().map(row).collect()
    }

    fn norm(&self, x: &[f64], name: &str) -> Vec<f64> {
        let square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let root = (square + self.config["rms_norm_eps"].as_f64().unwrap()).sqrt();
        x.iter().zip(self.vector(name).unwrap()).map(|(x, g)| x / root * g).collect()
    }

    /// The frequency of pair i, as `_compute_llama3_parameters` has it.
    fn frequency(&self, pair: usize) -> f64 {
        let rope = &self.config["rope_parameters"];
        let number = |name: &str| rope[name].as_f64().unwrap();
        let [_, _, width] = self.heads();
        let plain = 1.0 / number("rope_theta").powf(2.0 * pair as f64 / width as f64);
        match rope["rope_type"].as_str() {
            Some("linear") => plain / number("factor"),
            Some("llama3") => {
                let [factor, low, high, old] =
                    ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"]
                        .map(number);
                let wavelength = 2.0 * std::f64::consts::PI / plain;
                if wavelength > old / low {
                    plain / factor
                } else if wavelength < old / high {
                    plain
                } else {
                    let smooth = (old / wavelength - low) / (high - low);
                    (1.0 - smooth) * plain / factor + smooth * plain
                }
            }
            _ => plain,
        }
    }

    fn turned(&self, head: &[f64], position: usize) -> Vec<f64> {
        let half = head.len() / 2;
        let mut turned = head.to_vec();
        for pair in 0..half {
            let angle = position as f64 * self.frequency(pair);
            let (a, b) = (head[pair], head[pair + half]);
            turned[pair] = a * angle.cos() - b * angle.sin();
            turned[pair + half] = b * angle.cos() + a * angle.sin();
        }
        turned
    }

    /// Queries or keys of every position, head after head, normalised and turned.
    fn turned_heads(&self, x: &Matrix, layer: usize, which: char) -> Matrix {
        let [_, _, width] = self.heads();
        let norm = format!("layers.{layer}.self_attn.{which}_norm.weight");
        let projected = self.linear(x, &format!("layers.{layer}.self_attn.{which}_proj"));
        let of_head = |head: &[f64], position: usize| {
            let head = if self.weights.contains_key(&norm) { self.norm(head, &norm) } else { head.to_vec() };
            self.turned(&head, position)
        };
        let of_row = |(position, row): (usize, &Vec<f64>)| {
            row.chunks(width).flat_map(|head| of_head(head, position)).collect()
        };
        projected.iter().enumerate().map(of_row).collect()
    }

    fn attention(&self, x: &Matrix, layer: usize) -> Matrix {
        let [heads, groups, width] = self.heads();
        let (q, k) = (self.turned_heads(x, layer, 'q'), self.turned_heads(x, layer, 'k'));
        let v = self.linear(x, &format!("layers.{layer}.self_attn.v_proj"));
        let window = self.window();
        let mut context = vec![vec![0.0; heads * width]; x.len()];
        for (query, context) in context.iter_mut().enumerate() {
            for head in 0..heads {
                let shared = head / (heads / groups) * width;
                let seen: Vec<usize> = (0..=query).filter(|key| query - key < window).collect();
                let score = |key: &usize| {
                    let pairs = (0..width).map(|c| q[query][head * width + c] * k[*key][shared + c]);
                    (pairs.sum::<f64>() / (width as f64).sqrt()).exp()
                };
                let powers: Vec<f64> = seen.iter().map(score).collect();
                let whole: f64 = powers.iter().sum();
                for (key, power) in seen.iter().zip(&powers) {
                    for c in 0..width {
                        context[head * width + c] += power / whole * v[*key][shared + c];
                    }
                }
            }
        }
        self.linear(&context, &format!("layers.{layer}.self_attn.o_proj"))
    }

    fn window(&self) -> usize {
        let is_used = self.config["model_type"] == "mistral" || self.config["use_sliding_window"] == true;
        let window = self.config.get("sliding_window").and_then(Value::as_u64);
        window.filter(|_| is_used).map_or(usize::MAX, |window| window as usize)
    }

    fn feed_forward(&self, x: &Matrix, layer: usize) -> Matrix {
        let [gate, up] =
            ["gate", "up"].map(|name| self.linear(x, &format!("layers.{layer}.mlp.{name}_proj")));
        let product = |(gate, up): (&Vec<f64>, &Vec<f64>)| {
            gate.iter().zip(up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect()
        };
        let product: Matrix = gate.iter().zip(&up).map(product).collect();
        self.linear(&product, &format!("layers.{layer}.mlp.down_proj"))
    }

    /// The logits of every position of one row of tokens.
    pub(crate) fn logits(&self, ids: &[i64]) -> Matrix {
        let width = self.size("hidden_size");
        let table = self.vector("embed_tokens.weight").unwrap();
        let mut x: Matrix = ids.iter().map(|&id| table[id as usize * width..][..width].to_vec()).collect();
        let add = |x: &mut Matrix, y: Matrix| {
            x.iter_mut().zip(y).for_each(|(x, y)| x.iter_mut().zip(y).for_each(|(x, y)| *x += y));
        };
        let normed = |x: &Matrix, name: &str| x.iter().map(|row| self.norm(row, name)).collect::<Matrix>();
        for layer in 0..self.size("num_hidden_layers") {
            let attended =
                self.attention(&normed(&x, &format!("layers.{layer}.input_layernorm.weight")), layer);
            add(&mut x, attended);
            let fed = normed(&x, &format!("layers.{layer}.post_attention_layernorm.weight"));
            add(&mut x, self.feed_forward(&fed, layer));
        }
        let head = if self.config["tie_word_embeddings"] == true { "embed_tokens" } else { "lm_head" };
        self.linear(&normed(&x, "norm.weight"), head)
    }
}
