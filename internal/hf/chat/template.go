package chat

// ownTemplates are written to checkpoints that have none of their own: what New's renderers of these formats do, as a program for
// other tools. The other formats belong to published models, which bring theirs along.
var ownTemplates = map[string]string{
	"llama3": `{{- bos_token }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
`,
	"chatml": `{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
`,
}

// Template returns a chat template for checkpoints of a format, or nothing where only published models have one. Detect knows
// it again.
func Template(format string) string { return ownTemplates[format] }
