"""Functions that copier.yml and the templates call. They check and resolve the answers, once.

- `kinds`: the table of the kinds of services
- `rules`: the rules for a single answer
- `items`: the entries of the answer `services`, checked one by one
- `services`: the list of services, from the answers
- `destination`: the existing content of the destination folder
- `discovery`: the services of an existing project. It uses `source_files` (the files that git does not
  ignore), `compose_reader`, `dockerfiles`, `languages` and `backing_images` (known public images)
- `commands`: the commands of an existing service
- `override_files`: what its compose file says beyond the answers, with `addresses` for its tests
- `defaults`: defaults from the folder's name and from its remote
- `prompts`: displays the complete text of a refusal below the prompt
- `questions`: the Jinja extension, which offers these functions to copier.yml and the templates
- `load`: loads the extension for Copier
"""
