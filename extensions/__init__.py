"""What copier.yml and the templates call: the answers are checked and resolved here, once.

- `kinds`: the table of the kinds of services
- `rules`: what a single answer may be
- `services`: the list of services, from the answers
- `destination`: what the destination folder holds already
- `defaults`: what the folder's name and its remote say
- `prompts`: shows a refusal in as many lines as it needs
- `questions`: the Jinja extension, which offers all of that to copier.yml and to the templates
- `load`: how Copier finds the extension
"""
