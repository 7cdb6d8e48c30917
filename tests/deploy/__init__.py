"""What is deployed: rules, dashboards, units and images."""
